//! Security descriptors: who may read a GPO and to whom it applies (MS-DTYP 2.4.6, 2.5.3).
//!
//! Parsed from and written to the self-relative form that the directory and SMB use. An offset or
//! a length that does not fit is an error, and an entry of an unknown kind never allows anything.

use model::{Guid, Malformed, Sid};

use super::sddl;

/// The right "Apply Group Policy", as `rightsGuid` says.
pub const APPLY_GROUP_POLICY: &str = "edacfd8f-ffb3-11d1-b41d-00a0c968f939";
/// May use an extended right (ADS_RIGHT_DS_CONTROL_ACCESS).
pub const CONTROL_ACCESS: u32 = 0x100;
/// May see what is right below (ADS_RIGHT_ACTRL_DS_LIST).
pub const LIST_CHILDREN: u32 = 0x4;
/// May read properties (ADS_RIGHT_DS_READ_PROP).
pub const READ_PROPERTY: u32 = 0x10;
/// May write properties (ADS_RIGHT_DS_WRITE_PROP).
pub const WRITE_PROPERTY: u32 = 0x20;

/// A security descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The control bits.
    pub control: u16,
    /// Who owns the object.
    pub owner: Option<Sid>,
    /// Its primary group.
    pub group: Option<Sid>,
    /// Who may do what. None: anybody may do anything.
    pub dacl: Option<Acl>,
    /// What is audited.
    pub sacl: Option<Acl>,
}

/// An access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// 2, or 4 with entries about one property, class or right.
    pub revision: u8,
    /// The entries; their order matters.
    pub aces: Vec<Ace>,
}

/// An access control entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ace {
    /// Its type: 0 allow, 1 deny, 2 audit, 5 to 7 the same for one kind of object.
    pub kind: u8,
    /// Inheritance and audit flags.
    pub flags: u8,
    /// The rights.
    pub mask: u32,
    /// The property, class or right that it is about, if not all.
    pub object_type: Option<Guid>,
    /// The class that inherits it, if not every one.
    pub inherited_type: Option<Guid>,
    /// Whom it concerns.
    pub sid: Sid,
    /// What follows the SID: a condition.
    pub rest: Vec<u8>,
}

/// An access check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Who is denied; none if nobody in the token is allowed.
    pub denied_by: Option<Sid>,
}

/// Reads the self-relative form.
pub fn parse(bytes: &[u8]) -> Result<Descriptor, Malformed> {
    let control = u16_at(bytes, 2)?;
    if bytes.first() != Some(&1) || control & SELF_RELATIVE == 0 {
        return Err(bad("not a self-relative one of revision 1"));
    }
    let part = |at: usize| -> Result<Option<&[u8]>, Malformed> {
        match u32_at(bytes, at)? as usize {
            0 => Ok(None),
            offset if offset < HEADER => Err(bad("an offset points into the header")),
            offset => Ok(Some(bytes.get(offset..).ok_or(bad(OUTSIDE))?)),
        }
    };
    let acl = |at: usize, present: u16| match part(at)? {
        Some(bytes) if control & present != 0 => parse_acl(bytes).map(Some),
        _ => Ok(None),
    };
    Ok(Descriptor {
        control,
        owner: part(4)?.map(leading_sid).transpose()?.map(|(sid, _)| sid),
        group: part(8)?.map(leading_sid).transpose()?.map(|(sid, _)| sid),
        sacl: acl(12, SACL_PRESENT)?,
        dacl: acl(16, DACL_PRESENT)?,
    })
}

/// Do the rights in `mask` reach somebody with `token`? With `right`, entries about just this one
/// count too (MS-DTYP 2.5.3.2 with an object type list of one element).
pub fn allows(
    descriptor: &Descriptor,
    token: &[Sid],
    mask: u32,
    right: Option<Guid>,
) -> Result<(), Refused> {
    let Some(dacl) = &descriptor.dacl else {
        return Ok(());
    };
    let mut missing = mask;
    for ace in &dacl.aces {
        let is_meant = ace.flags & INHERIT_ONLY == 0
            && (ace.object_type.is_none() || ace.object_type == right)
            && token.contains(&ace.sid);
        if !is_meant {
            continue;
        }
        match ace.kind {
            ALLOW | ALLOW_OBJECT => missing &= !specific(ace.mask),
            // The conditional kinds deny as if their condition held.
            DENY | DENY_OBJECT | DENY_CALLBACK | DENY_CALLBACK_OBJECT
                if specific(ace.mask) & missing != 0 =>
            {
                return Err(Refused {
                    denied_by: Some(ace.sid.clone()),
                });
            }
            _ => {}
        }
        if missing == 0 {
            return Ok(());
        }
    }
    Err(Refused { denied_by: None })
}

impl Ace {
    /// The rights, with the generic ones spelled out for objects of the directory.
    pub fn rights(&self) -> u32 {
        specific(self.mask)
    }

    /// It lets somebody do something, without a condition.
    pub fn is_allowing(&self) -> bool {
        matches!(self.kind, ALLOW | ALLOW_OBJECT)
    }

    /// The text form (MS-DTYP 2.5.1), with whole SIDs.
    pub fn to_sddl(&self) -> String {
        sddl::ace(self, None)
    }
}

impl Descriptor {
    /// Whether entries from above do not reach the object.
    pub fn is_blocked(&self) -> bool {
        self.control & DACL_PROTECTED != 0
    }

    /// The self-relative form: owner, group, SACL, DACL.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut place = |part: Option<Vec<u8>>| match part {
            Some(part) => {
                let offset = HEADER + body.len();
                body.extend(part);
                offset as u32
            }
            None => 0,
        };
        let offsets = [
            place(self.owner.as_ref().map(Sid::to_bytes)),
            place(self.group.as_ref().map(Sid::to_bytes)),
            place(self.sacl.as_ref().map(acl_bytes)),
            place(self.dacl.as_ref().map(acl_bytes)),
        ];
        let mut control = self.control | SELF_RELATIVE;
        for (acl, bit) in [(&self.sacl, SACL_PRESENT), (&self.dacl, DACL_PRESENT)] {
            if acl.is_some() {
                control |= bit;
            }
        }
        let mut bytes = vec![1, 0];
        bytes.extend(control.to_le_bytes());
        bytes.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
        bytes.extend(body);
        bytes
    }

    /// The text form (MS-DTYP 2.5.1). With the domain's SID, its well-known accounts have their
    /// two letters.
    pub fn to_sddl(&self, domain: Option<&Sid>) -> String {
        sddl::write(self, domain)
    }

    /// Lets the GPO apply to `sid`: reading and the right to apply, put in front. False if both
    /// were there.
    pub fn allow_apply(&mut self, sid: &Sid) -> bool {
        let ace = |kind, mask, object_type| Ace {
            kind,
            flags: CONTAINER_INHERIT,
            mask,
            object_type,
            inherited_type: None,
            sid: sid.clone(),
            rest: Vec::new(),
        };
        let wanted = [
            ace(ALLOW_OBJECT, CONTROL_ACCESS, apply_right()),
            ace(ALLOW, READ, None),
        ];
        self.allow(&wanted)
    }

    /// Puts entries that allow in front of the others, as far as they are not there. False if all were
    /// there.
    pub fn allow(&mut self, wanted: &[Ace]) -> bool {
        let dacl = self.dacl.get_or_insert_with(|| Acl {
            revision: 4,
            aces: Vec::new(),
        });
        dacl.revision = dacl.revision.max(4);
        // Denials stay in front of what allows.
        let start = dacl
            .aces
            .iter()
            .take_while(|ace| matches!(ace.kind, DENY | DENY_OBJECT))
            .count();
        let mut at = start;
        for ace in wanted {
            if !dacl.aces.contains(ace) {
                dacl.aces.insert(at, ace.clone());
                at += 1;
            }
        }
        at != start
    }

    /// Takes from `sid` the entries that grant just the right to apply; it can still read. False
    /// if there was none.
    pub fn disallow_apply(&mut self, sid: &Sid) -> bool {
        let right = apply_right();
        self.retain(|ace| {
            !(ace.kind == ALLOW_OBJECT && ace.object_type == right && ace.sid == *sid)
        })
    }

    /// Takes out every entry of `sid`. False if there was none.
    pub fn remove_trustee(&mut self, sid: &Sid) -> bool {
        self.retain(|ace| ace.sid != *sid)
    }

    fn retain(&mut self, keep: impl Fn(&Ace) -> bool) -> bool {
        let Some(dacl) = &mut self.dacl else {
            return false;
        };
        let before = dacl.aces.len();
        dacl.aces.retain(keep);
        dacl.aces.len() != before
    }

    /// What the GPO's folder in SYSVOL gets: directory rights as file rights, inherited by all
    /// that is in it. Only plain entries are carried over, since a file knows no extended rights.
    pub fn for_sysvol(&self) -> Self {
        let old_clients = "S-1-5-32-554".parse().ok();
        let creator_owner = "S-1-3-0".parse().ok();
        let aces = self.dacl.iter().flat_map(|dacl| &dacl.aces);
        let aces = aces
            .filter(|ace| matches!(ace.kind, ALLOW | DENY))
            .filter(|ace| Some(&ace.sid) != old_clients.as_ref())
            .map(|ace| {
                let mut flags = ace.flags | OBJECT_INHERIT | CONTAINER_INHERIT;
                if Some(&ace.sid) == creator_owner.as_ref() {
                    flags |= INHERIT_ONLY;
                }
                Ace {
                    flags,
                    mask: file_mask(ace.mask),
                    ..ace.clone()
                }
            });
        Self {
            control: SELF_RELATIVE | DACL_PRESENT | DACL_PROTECTED,
            owner: self.owner.clone(),
            group: self.group.clone(),
            dacl: Some(Acl {
                revision: 2,
                aces: aces.collect(),
            }),
            sacl: None,
        }
    }
}

/// The GUID of the right to apply, as entries hold it.
pub(super) fn apply_right() -> Option<Guid> {
    APPLY_GROUP_POLICY.parse().ok()
}

/// Rights to a file, out of rights to an object of the directory.
fn file_mask(mask: u32) -> u32 {
    let mut file = mask & 0x001f_0000;
    // Read properties and list contents: read and execute.
    if mask & 0x14 == 0x14 {
        file |= 0x0010_00a9;
    }
    // Write properties: write data, append, write both kinds of attributes.
    if mask & 0x20 != 0 {
        file |= 0x0010_0116;
    }
    // Create children: add files and folders.
    if mask & 1 != 0 {
        file |= 6;
    }
    // Delete children.
    if mask & 2 != 0 {
        file |= 0x40;
    }
    file
}

/// A mask with its generic bits spelled out for objects of the directory.
fn specific(mask: u32) -> u32 {
    let generic = [
        (0x8000_0000, 0x0002_0094),
        (0x4000_0000, 0x0002_0028),
        (0x2000_0000, 0x0002_0004),
        (0x1000_0000, 0x000f_01ff),
    ];
    generic
        .iter()
        .filter(|(bit, _)| mask & bit != 0)
        .fold(mask, |mask, (_, rights)| mask | rights)
}

fn parse_acl(bytes: &[u8]) -> Result<Acl, Malformed> {
    let size = usize::from(u16_at(bytes, 2)?);
    let count = u16_at(bytes, 4)?;
    let mut rest = bytes
        .get(8..size)
        .ok_or(bad("an ACL is longer than what holds it"))?;
    let mut aces = Vec::new();
    for _ in 0..count {
        let size = usize::from(u16_at(rest, 2)?);
        let (ace, tail) = rest
            .split_at_checked(size)
            .ok_or(bad("an ACE is longer than its ACL"))?;
        aces.push(parse_ace(ace)?);
        rest = tail;
    }
    Ok(Acl {
        revision: bytes.first().copied().unwrap_or_default(),
        aces,
    })
}

fn parse_ace(bytes: &[u8]) -> Result<Ace, Malformed> {
    let [kind, flags, _, _, body @ ..] = bytes else {
        return Err(bad("an ACE shorter than its head"));
    };
    let mask = u32_at(body, 0)?;
    let mut rest = body.get(4..).unwrap_or_default();
    let [mut object_type, mut inherited_type] = [None, None];
    if matches!(kind, 5..=8 | 11 | 12 | 15 | 16) {
        let present = u32_at(rest, 0)?;
        rest = rest.get(4..).unwrap_or_default();
        for (bit, guid) in [(1, &mut object_type), (2, &mut inherited_type)] {
            if present & bit != 0 {
                let (bytes, tail) = rest
                    .split_first_chunk::<16>()
                    .ok_or(bad("an ACE ends inside a GUID"))?;
                *guid = Some(Guid::from_le_bytes(*bytes));
                rest = tail;
            }
        }
    }
    let (sid, rest) = leading_sid(rest)?;
    Ok(Ace {
        kind: *kind,
        flags: *flags,
        mask,
        object_type,
        inherited_type,
        sid,
        rest: rest.to_owned(),
    })
}

fn acl_bytes(acl: &Acl) -> Vec<u8> {
    let aces: Vec<u8> = acl.aces.iter().flat_map(ace_bytes).collect();
    let mut bytes = vec![acl.revision, 0];
    bytes.extend((aces.len() as u16 + 8).to_le_bytes());
    bytes.extend((acl.aces.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(aces);
    bytes
}

fn ace_bytes(ace: &Ace) -> Vec<u8> {
    let mut body = ace.mask.to_le_bytes().to_vec();
    if matches!(ace.kind, 5..=8 | 11 | 12 | 15 | 16) {
        let guids = [ace.object_type, ace.inherited_type];
        let present =
            u32::from(ace.object_type.is_some()) | u32::from(ace.inherited_type.is_some()) << 1;
        body.extend(present.to_le_bytes());
        body.extend(guids.iter().flatten().flat_map(|guid| guid.to_le_bytes()));
    }
    body.extend(ace.sid.to_bytes());
    body.extend(&ace.rest);
    let mut bytes = vec![ace.kind, ace.flags];
    bytes.extend((body.len() as u16 + 4).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The SID that `bytes` begin with, and what follows it.
fn leading_sid(bytes: &[u8]) -> Result<(Sid, &[u8]), Malformed> {
    let count = usize::from(*bytes.get(1).ok_or(bad(OUTSIDE))?);
    let (sid, rest) = bytes
        .split_at_checked(8 + 4 * count)
        .ok_or(bad("a SID ends outside"))?;
    Ok((Sid::from_bytes(sid)?, rest))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = bytes.get(at..).and_then(|b| b.first_chunk::<2>());
    bytes.map(|b| u16::from_le_bytes(*b)).ok_or(bad(OUTSIDE))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let bytes = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
    bytes.map(|b| u32::from_le_bytes(*b)).ok_or(bad(OUTSIDE))
}

fn bad(reason: &'static str) -> Malformed {
    Malformed {
        noun: "security descriptor",
        reason,
    }
}

const OUTSIDE: &str = "ends before what it promises";
const HEADER: usize = 20;
const SELF_RELATIVE: u16 = 0x8000;
pub(super) const DACL_PROTECTED: u16 = 0x1000;
const DACL_PRESENT: u16 = 4;
const SACL_PRESENT: u16 = 0x10;
/// An entry that allows.
pub const ALLOW: u8 = 0;
const DENY: u8 = 1;
/// Allows something of one property, class or right.
pub const ALLOW_OBJECT: u8 = 5;
const DENY_OBJECT: u8 = 6;
const DENY_CALLBACK: u8 = 10;
const DENY_CALLBACK_OBJECT: u8 = 12;
const OBJECT_INHERIT: u8 = 1;
/// Objects below inherit the entry.
pub const CONTAINER_INHERIT: u8 = 2;
/// The entry says nothing about the object that has it.
pub const INHERIT_ONLY: u8 = 8;
/// The entry came from above.
pub const INHERITED: u8 = 0x10;
/// Read properties, list contents, list the object, read the descriptor's owner and DACL.
const READ: u32 = 0x0002_0094;
