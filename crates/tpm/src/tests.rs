//! What needs no TPM: bytes, codes and addresses.

use crate::error::{Error, refused};
use crate::keys::trimmed;
use crate::transport::Transport;
use crate::wire::{Reader, Writer};

#[test]
fn a_reader_gives_what_a_writer_wrote_and_nothing_more() {
    let bytes = Writer::new()
        .u8(1)
        .u16(2)
        .u32(3)
        .sized(b"four")
        .bytes(b"rest")
        .plain();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u8().unwrap(), 1);
    assert_eq!(reader.u16().unwrap(), 2);
    assert_eq!(reader.u32().unwrap(), 3);
    assert_eq!(reader.sized().unwrap(), b"four");
    assert!(reader.take(5).is_err());
    assert_eq!(reader.rest(), b"rest");
    assert!(Reader::new(&[0, 9, 1]).sized().is_err());
    assert!(Reader::new(&[0; 3]).u32().is_err());
}

#[test]
fn a_code_is_known_wherever_the_tpm_saw_the_fault() {
    for code in [0x9A2, 0x0A2, 0x98E, 0xA8E] {
        assert!(refused("Sign", code).is_wrong_value(), "{code:#x}");
    }
    assert_eq!(refused("NV_Read", 0x28B).code(), Some(0x08B));
    assert_eq!(refused("PolicyOR", 0x1C4).code(), Some(0x084));
    assert_eq!(refused("NV_Read", 0x14A).code(), Some(0x14A));
    for code in [0x921, 0x902, 0x903, 0x910, 0x918] {
        assert!(
            matches!(refused("Load", code), Error::Unavailable(_)),
            "{code:#x}"
        );
    }
}

#[test]
fn only_a_resource_managed_device_or_an_swtpm_is_opened() {
    for tcti in [
        "device:/dev/tpm0",
        "device:/etc/passwd",
        "swtpm:",
        "swtpm:path=/x",
        "mssim:",
        "",
    ] {
        assert!(
            matches!(Transport::open(tcti), Err(Error::Unavailable(_))),
            "{tcti}"
        );
    }
}

#[test]
fn zeros_at_the_end_of_a_value_do_not_count() {
    assert_eq!(trimmed(&[1, 0, 2, 0, 0]), [1, 0, 2]);
    assert_eq!(trimmed(&[0, 0]), [0; 0]);
}
