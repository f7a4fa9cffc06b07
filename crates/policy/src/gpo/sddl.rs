//! The text form of a security descriptor (MS-DTYP 2.5.1), for people and for comparison.

use model::Sid;

use super::descriptor::{Ace, Acl, DACL_PROTECTED, Descriptor};

pub(super) fn write(descriptor: &Descriptor, domain: Option<&Sid>) -> String {
    let mut text = String::new();
    for (letter, sid) in [("O", &descriptor.owner), ("G", &descriptor.group)] {
        if let Some(sid) = sid {
            text.push_str(letter);
            text.push(':');
            text.push_str(&name(sid, domain));
        }
    }
    let lists = [
        ("D", &descriptor.dacl, [DACL_PROTECTED, 0x100, 0x400]),
        ("S", &descriptor.sacl, [0x2000, 0x200, 0x800]),
    ];
    for (letter, acl, bits) in lists {
        if let Some(acl) = acl {
            text.push_str(letter);
            text.push(':');
            for (bit, flag) in bits.iter().zip(["P", "AR", "AI"]) {
                if descriptor.control & bit != 0 {
                    text.push_str(flag);
                }
            }
            write_aces(&mut text, acl, domain);
        }
    }
    text
}

fn write_aces(text: &mut String, acl: &Acl, domain: Option<&Sid>) {
    for entry in &acl.aces {
        text.push_str(&ace(entry, domain));
    }
}

pub(super) fn ace(ace: &Ace, domain: Option<&Sid>) -> String {
    let guid = |guid: &Option<model::Guid>| guid.map(|g| g.to_string()).unwrap_or_default();
    format!(
        "({};{};{};{};{};{})",
        kind(ace),
        flags(ace),
        rights(ace.mask),
        guid(&ace.object_type),
        guid(&ace.inherited_type),
        name(&ace.sid, domain)
    )
}

fn kind(ace: &Ace) -> String {
    KINDS
        .iter()
        .find(|(kind, _)| *kind == ace.kind)
        .map_or_else(|| format!("0x{:x}", ace.kind), |(_, name)| (*name).into())
}

fn flags(ace: &Ace) -> String {
    FLAGS
        .iter()
        .filter(|(bit, _)| ace.flags & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn rights(mask: u32) -> String {
    if mask == 0x001f_01ff {
        return "FA".to_owned();
    }
    let known = RIGHTS.iter().fold(0, |known, (bit, _)| known | bit);
    if mask & !known != 0 {
        return format!("{mask:#x}");
    }
    RIGHTS
        .iter()
        .filter(|(bit, _)| mask & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn name(sid: &Sid, domain: Option<&Sid>) -> String {
    let text = sid.to_string();
    if let Some((_, name)) = WELL_KNOWN.iter().find(|(known, _)| *known == text) {
        return (*name).to_owned();
    }
    let is_local = domain.is_some() && sid.domain().as_ref() == domain;
    OF_A_DOMAIN
        .iter()
        .find(|(rid, _)| is_local && sid.rid() == Some(*rid))
        .map_or(text, |(_, name)| (*name).to_owned())
}

const KINDS: [(u8, &str); 9] = [
    (0, "A"),
    (1, "D"),
    (2, "AU"),
    (5, "OA"),
    (6, "OD"),
    (7, "OU"),
    (9, "XA"),
    (10, "XD"),
    (11, "ZA"),
];

const FLAGS: [(u8, &str); 7] = [
    (0x01, "OI"),
    (0x02, "CI"),
    (0x04, "NP"),
    (0x08, "IO"),
    (0x10, "ID"),
    (0x40, "SA"),
    (0x80, "FA"),
];

const RIGHTS: [(u32, &str); 17] = [
    (0x1000_0000, "GA"),
    (0x8000_0000, "GR"),
    (0x4000_0000, "GW"),
    (0x2000_0000, "GX"),
    (0x01, "CC"),
    (0x02, "DC"),
    (0x04, "LC"),
    (0x08, "SW"),
    (0x10, "RP"),
    (0x20, "WP"),
    (0x40, "DT"),
    (0x80, "LO"),
    (0x100, "CR"),
    (0x0001_0000, "SD"),
    (0x0002_0000, "RC"),
    (0x0004_0000, "WD"),
    (0x0008_0000, "WO"),
];

const WELL_KNOWN: [(&str, &str); 18] = [
    ("S-1-1-0", "WD"),
    ("S-1-3-0", "CO"),
    ("S-1-3-1", "CG"),
    ("S-1-5-2", "NU"),
    ("S-1-5-4", "IU"),
    ("S-1-5-7", "AN"),
    ("S-1-5-9", "ED"),
    ("S-1-5-10", "PS"),
    ("S-1-5-11", "AU"),
    ("S-1-5-18", "SY"),
    ("S-1-5-19", "LS"),
    ("S-1-5-20", "NS"),
    ("S-1-5-32-544", "BA"),
    ("S-1-5-32-545", "BU"),
    ("S-1-5-32-548", "AO"),
    ("S-1-5-32-549", "SO"),
    ("S-1-5-32-550", "PO"),
    ("S-1-5-32-554", "RU"),
];

const OF_A_DOMAIN: [(u32, &str); 12] = [
    (500, "LA"),
    (501, "LG"),
    (512, "DA"),
    (513, "DU"),
    (514, "DG"),
    (515, "DC"),
    (516, "DD"),
    (517, "CA"),
    (518, "SA"),
    (519, "EA"),
    (520, "PA"),
    (553, "RS"),
];
