//! What descriptors let the agent's account do, against what it needs: pure.

use directory::{Kind, Property};
use model::{Guid, Sid};
use policy::gpo::descriptor::{
    ALLOW, ALLOW_OBJECT, Ace, Acl, CONTAINER_INHERIT, CONTROL_ACCESS, Descriptor, INHERIT_ONLY,
    INHERITED, LIST_CHILDREN, READ_PROPERTY, WRITE_PROPERTY, allows,
};

/// The classes of accounts in descriptors.
const USER_CLASS: &str = "bf967aba-0de6-11d0-a285-00aa003049e2";
const COMPUTER_CLASS: &str = "bf967a86-0de6-11d0-a285-00aa003049e2";
const GROUP_CLASS: &str = "bf967a9c-0de6-11d0-a285-00aa003049e2";
/// May read the descriptor (READ_CONTROL).
const READ_DESCRIPTOR: u32 = 0x0002_0000;
/// Rights by which a whole domain is read with its secrets (MS-ADTS 5.1.3.2.1), and passwords are set.
const EXTENDED: [(&str, &str); 4] = [
    ("1131f6aa-9c07-11d1-f79f-00c04fc2dcd2", "replicate changes"),
    (
        "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2",
        "replicate all changes, secrets included",
    ),
    (
        "89e95b76-444d-4c62-991a-0facbeda640c",
        "replicate changes of a filtered set",
    ),
    ("00299570-246d-11d0-a768-00aa006e0529", "set passwords"),
];
/// Rights that change something, as people know them.
const CHANGING: [(u32, &str); 8] = [
    (0x0004_0000, "change who may do what (WRITE_DAC)"),
    (0x0008_0000, "become the owner (WRITE_OWNER)"),
    (0x0001_0000, "delete the object"),
    (0x40, "delete everything below"),
    (WRITE_PROPERTY, "write attributes"),
    (0x1, "create objects"),
    (0x2, "delete objects"),
    (0x8, "write what is checked (validated writes)"),
];

/// The account and what it is judged by.
pub(super) struct Judge {
    /// All SIDs that descriptors may name it by.
    pub(super) token: Vec<Sid>,
    /// Those of them that are not everyone's.
    pub(super) own: Vec<Sid>,
    pub(super) sid: Sid,
    /// `msDS-KeyCredentialLink`.
    pub(super) keys: Property,
}

/// Where an entry was found, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In one of the units that the configuration names, or below.
    Scope,
    /// A user in one of these units.
    User,
    /// What protected accounts get their descriptor from.
    AdminSdHolder,
    /// The top of the domain.
    Root,
    /// Anywhere else.
    Outside,
}

impl Judge {
    /// The one entry that the agent needs on a unit of its scope.
    pub(super) fn wanted(&self) -> Ace {
        Ace {
            kind: ALLOW_OBJECT,
            flags: CONTAINER_INHERIT | INHERIT_ONLY,
            mask: READ_PROPERTY | WRITE_PROPERTY,
            object_type: Some(self.keys.id),
            inherited_type: user_class(),
            sid: self.sid.clone(),
            rest: Vec::new(),
        }
    }

    /// The entry that lets the account see what was deleted, on the container of that alone.
    pub(super) fn looking(&self) -> Ace {
        Ace {
            kind: ALLOW,
            flags: 0,
            mask: LIST_CHILDREN | READ_PROPERTY,
            object_type: None,
            inherited_type: None,
            sid: self.sid.clone(),
            rest: Vec::new(),
        }
    }

    /// The same, on one user.
    pub(super) fn wanted_of_one(&self) -> Ace {
        Ace {
            flags: 0,
            inherited_type: None,
            ..self.wanted()
        }
    }

    /// An entry that lets the account read an attribute of accounts of a kind, or without one their
    /// descriptors.
    pub(super) fn reading(&self, kind: Kind, property: Option<&Property>) -> Ace {
        let class = match kind {
            Kind::User => USER_CLASS,
            Kind::Computer => COMPUTER_CLASS,
            Kind::Group => GROUP_CLASS,
        };
        Ace {
            mask: property.map_or(READ_DESCRIPTOR, |_| READ_PROPERTY),
            object_type: property.map(|property| property.id),
            inherited_type: class.parse().ok(),
            ..self.wanted()
        }
    }

    pub(super) fn may_read(&self, descriptor: &Descriptor, property: &Property) -> bool {
        self.may(descriptor, READ_PROPERTY, property)
    }

    pub(super) fn may_write_keys(&self, descriptor: &Descriptor) -> bool {
        self.may(descriptor, READ_PROPERTY | WRITE_PROPERTY, &self.keys)
    }

    /// Whether users right below a unit inherit the right to write keys.
    pub(super) fn hands_down_keys(&self, unit: &Descriptor) -> bool {
        let aces = unit.dacl.iter().flat_map(|dacl| &dacl.aces);
        let aces = aces.filter(|ace| reaches_users(ace)).map(|ace| Ace {
            flags: ace.flags & !INHERIT_ONLY,
            ..ace.clone()
        });
        let dacl = Some(Acl {
            revision: 4,
            aces: aces.collect(),
        });
        let user = Descriptor {
            dacl,
            ..unit.clone()
        };
        self.may_write_keys(&user)
    }

    /// By an entry about the attribute, its property set, or all.
    fn may(&self, descriptor: &Descriptor, mask: u32, property: &Property) -> bool {
        match allows(descriptor, &self.token, mask, Some(property.id)) {
            Ok(()) => true,
            Err(refused) if refused.denied_by.is_some() => false,
            Err(_) => property
                .set
                .is_some_and(|set| allows(descriptor, &self.token, mask, Some(set)).is_ok()),
        }
    }

    /// The entries that say more than the agent needs, each with what is too much about it. Inherited
    /// ones are judged where they come from.
    pub(super) fn excess<'d>(
        &self,
        descriptor: &'d Descriptor,
        place: Place,
    ) -> Vec<(&'d Ace, String)> {
        let aces = descriptor.dacl.iter().flat_map(|dacl| &dacl.aces);
        let ours = aces.filter(|ace| {
            ace.is_allowing() && ace.flags & INHERITED == 0 && self.own.contains(&ace.sid)
        });
        ours.filter_map(|ace| Some((ace, self.too_much(ace, place)?)))
            .collect()
    }

    pub(super) fn owns(&self, descriptor: &Descriptor) -> bool {
        let owner = descriptor.owner.as_ref();
        owner.is_some_and(|owner| self.own.contains(owner))
    }

    fn too_much(&self, ace: &Ace, place: Place) -> Option<String> {
        let changing = CHANGING.iter().fold(0, |all, (bit, _)| all | bit);
        let rights = ace.rights() & (changing | CONTROL_ACCESS);
        if rights == 0 {
            return None;
        }
        if rights == WRITE_PROPERTY && ace.object_type == Some(self.keys.id) {
            return match place {
                Place::User => None,
                Place::Scope if ace.inherited_type == user_class() => None,
                Place::Scope => Some("writes keys of computers too, not of users alone".to_owned()),
                Place::AdminSdHolder => Some("writes keys of protected accounts".to_owned()),
                Place::Root => Some(
                    "writes keys of every account: administrators and domain controllers among them"
                        .to_owned(),
                ),
                Place::Outside => Some("writes keys outside the agent's scope".to_owned()),
            };
        }
        let mut words: Vec<&str> = CHANGING
            .iter()
            .filter(|(bit, _)| rights & bit != 0)
            .map(|(_, words)| *words)
            .collect();
        if rights & CONTROL_ACCESS != 0 {
            let right = ace.object_type.map(|guid| guid.to_string());
            words.push(match right {
                None => "use every extended right: set passwords, replicate secrets",
                Some(right) => EXTENDED
                    .iter()
                    .find(|(guid, _)| *guid == right)
                    .map_or("use an extended right", |(_, words)| words),
            });
        }
        Some(format!("may {}", words.join(", ")))
    }
}

/// Whether a user below the object that has the entry gets it.
fn reaches_users(ace: &Ace) -> bool {
    ace.flags & CONTAINER_INHERIT != 0
        && (ace.inherited_type.is_none() || ace.inherited_type == user_class())
}

fn user_class() -> Option<Guid> {
    USER_CLASS.parse().ok()
}

#[cfg(test)]
pub(super) mod tests;
