//! Extension lists: which client-side extensions a half of a GPO has something for.
//!
//! `[{extension}{tool}…][{extension}{tool}…]`, sorted by extension without regard to case (MS-GPOL
//! 2.2.4). Windows stops reading at the first one out of order, and so does [`contains`]: what it
//! would not apply is not applied here either.

use std::str::FromStr;

use model::Guid;

/// The extension that reads Registry.pol.
pub const REGISTRY: &str = "{35378EAC-683F-11D2-A89A-00C04FBBCFA2}";
/// The editor of administrative templates, for the computer half.
pub const COMPUTER_TOOL: &str = "{D02B1F72-3407-48AE-BA88-E8213C6761F1}";
/// The editor of administrative templates, for the user half.
pub const USER_TOOL: &str = "{D02B1F73-3407-48AE-BA88-E8213C6761F1}";

/// Is `extension` in the list, where it counts?
pub fn contains(list: &str, extension: &str) -> bool {
    let wanted = Guid::from_str(extension).ok();
    let mut last = None;
    for bracket in brackets(list) {
        let guid = guids(bracket).next().and_then(|g| Guid::from_str(g).ok());
        if guid < last || guid.is_none() {
            return false;
        }
        if guid == wanted {
            return true;
        }
        last = guid;
    }
    false
}

/// The list with `tool` named for `extension`; unchanged where it is.
pub fn insert(list: &str, extension: &str, tool: &str) -> String {
    let mut all: Vec<String> = brackets(list).map(str::to_owned).collect();
    let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let mine = all
        .iter_mut()
        .find(|b| guids(b).next().is_some_and(|g| is_same(g, extension)));
    match mine {
        Some(bracket) => {
            if !guids(bracket).skip(1).any(|g| is_same(g, tool)) {
                bracket.push_str(tool);
            }
        }
        None => {
            let at = all
                .iter()
                .position(|b| b.to_ascii_uppercase() > extension.to_ascii_uppercase())
                .unwrap_or(all.len());
            all.insert(at, format!("{extension}{tool}"));
        }
    }
    join(all.iter().map(String::as_str))
}

/// The list without `extension`.
pub fn remove(list: &str, extension: &str) -> String {
    join(brackets(list).filter(|b| {
        !guids(b)
            .next()
            .is_some_and(|guid| guid.eq_ignore_ascii_case(extension))
    }))
}

fn join<'a>(brackets: impl Iterator<Item = &'a str>) -> String {
    brackets.map(|inner| format!("[{inner}]")).collect()
}

/// What is between the brackets.
fn brackets(list: &str) -> impl Iterator<Item = &str> {
    list.split('[')
        .skip(1)
        .filter_map(|part| Some(part.split_once(']')?.0))
}

/// The GUIDs of one bracket, with their braces.
fn guids(bracket: &str) -> impl Iterator<Item = &str> {
    bracket
        .split_inclusive('}')
        .filter(|guid| guid.starts_with('{') && guid.ends_with('}'))
}
