//! A text as a QR code, drawn by one path of an SVG.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// White around the code, in modules (ISO/IEC 18004 9.1).
const QUIET: i32 = 4;

/// A QR code.
pub(crate) struct Qr {
    /// Its width and height with the quiet zone, in modules.
    pub(crate) size: i32,
    /// The dark modules.
    pub(crate) path: String,
}

/// The QR code of a text; `None` where the text is too long for one.
pub(crate) fn of(text: &str) -> Option<Qr> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // Writing to a string does not fail.
            let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    Some(Qr {
        size: code.size() + 2 * QUIET,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone_and_its_corner() {
        let qr = of("otpauth://totp/Latchkey:alice@corp.example?secret=ABC").unwrap();
        assert!(qr.size >= 21 + 8);
        assert!(qr.path.starts_with("M4 4h1v1h-1zM5 4"));
        assert!(of(&"x".repeat(5000)).is_none());
    }
}
