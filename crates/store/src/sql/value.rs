//! Nouns as values of a database, and back.

use std::borrow::Cow;

use model::{Guid, LogonHours, Sid, UnixTime};

/// What a database holds in one place.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// A noun that can be stored.
pub(crate) trait Arg {
    fn value(&self) -> Value;
}

/// A noun that can be read; `None` where what is stored is none.
pub(crate) trait Column: Sized {
    fn read(value: &Value) -> Option<Self>;
}

/// The parameters of a statement, in order.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$($crate::sql::Arg::value(&$arg)),*] };
}
pub(crate) use args;

/// Columns with their values, to add a row.
macro_rules! fields {
    ($($name:ident: $arg:expr),* $(,)?) => {
        &[$((stringify!($name), $crate::sql::Arg::value(&$arg))),*]
    };
}
pub(crate) use fields;

/// An enum of single words, which are what is stored and what others are told.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name { $($(#[$about])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The one of that word.
            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::sql::Arg for $name {
            fn value(&self) -> $crate::sql::Value {
                $crate::sql::Arg::value(self.as_str())
            }
        }

        impl $crate::sql::Column for $name {
            fn read(value: &$crate::sql::Value) -> Option<Self> {
                match value {
                    $crate::sql::Value::Text(word) => Self::of(word),
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use words;

impl<T: Arg + ?Sized> Arg for &T {
    fn value(&self) -> Value {
        (**self).value()
    }
}

impl<T: Arg> Arg for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Arg::value)
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::read(value).map(Some),
        }
    }
}

impl Arg for Value {
    fn value(&self) -> Value {
        self.clone()
    }
}

impl Arg for str {
    fn value(&self) -> Value {
        Value::Text(plain(self).into_owned())
    }
}

/// The text without what PostgreSQL cannot hold: a NUL that somebody sent becomes the mark of what
/// is none, in both databases.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

impl Arg for String {
    fn value(&self) -> Value {
        self.as_str().value()
    }
}

impl Column for String {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Arg for [u8] {
    fn value(&self) -> Value {
        Value::Blob(self.to_owned())
    }
}

impl Arg for Vec<u8> {
    fn value(&self) -> Value {
        self.as_slice().value()
    }
}

impl Column for Vec<u8> {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl<const N: usize> Arg for [u8; N] {
    fn value(&self) -> Value {
        self.as_slice().value()
    }
}

impl<const N: usize> Column for [u8; N] {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        }
    }
}

impl Arg for bool {
    fn value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
}

impl Column for bool {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl Arg for UnixTime {
    fn value(&self) -> Value {
        self.0.value()
    }
}

impl Column for UnixTime {
    fn read(value: &Value) -> Option<Self> {
        i64::read(value).map(Self)
    }
}

impl Arg for LogonHours {
    fn value(&self) -> Value {
        self.0.value()
    }
}

impl Column for LogonHours {
    fn read(value: &Value) -> Option<Self> {
        Column::read(value).map(Self)
    }
}

/// Whole numbers; one that is greater than any stored one can be is held at the greatest.
macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Arg for $type {
            fn value(&self) -> Value {
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }

        impl Column for $type {
            fn read(value: &Value) -> Option<Self> {
                match value {
                    Value::Int(n) => (*n).try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
whole_numbers!(i64, u8, u32, u64);

/// Nouns that are stored as they are printed.
macro_rules! printed {
    ($($type:ty),*) => {$(
        impl Arg for $type {
            fn value(&self) -> Value {
                Value::Text(self.to_string())
            }
        }

        impl Column for $type {
            fn read(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
printed!(Guid, Sid);

/// Lists, which are stored as JSON: none of them is ever looked into by SQL.
macro_rules! lists {
    ($($type:ty),*) => {$(
        impl Arg for Vec<$type> {
            fn value(&self) -> Value {
                Value::Text(serde_json::json!(self).to_string())
            }
        }

        impl Column for Vec<$type> {
            fn read(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(text) => serde_json::from_str(text).ok(),
                    _ => None,
                }
            }
        }
    )*};
}
lists!(String, Guid);
