//! `$filter` (OData 4.01, 5.1.1), as far as lists here are asked with it: comparisons of properties with
//! texts, numbers and truths, `has` of flags, three functions of texts, `and`, `or`, `not`, parentheses.

use serde_json::Value;

use crate::{error::Refusal, policies::edit::bad};

/// How deep a filter may be nested, and how long it may be.
const MAX_DEPTH: u32 = 16;
const MAX_LENGTH: usize = 2048;

/// A filter that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    /// Property, operator, value.
    Is(String, Operator, Value),
}

/// How a property is held against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Has,
    StartsWith,
    EndsWith,
    Contains,
}

const FUNCTIONS: [(&str, Operator); 3] = [
    ("startswith", Operator::StartsWith),
    ("endswith", Operator::EndsWith),
    ("contains", Operator::Contains),
];

const OPERATORS: [(&str, Operator); 3] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("has", Operator::Has),
];

/// Reads a filter.
pub(super) fn read(text: &str) -> Result<Filter, Refusal> {
    let not_understood = || {
        bad(&format!(
            "Invalid filter clause: {text:?} is not understood."
        ))
    };
    if text.len() > MAX_LENGTH {
        return Err(bad("Invalid filter clause: it is too long."));
    }
    let mut reader = Reader {
        tokens: tokens(text).ok_or_else(not_understood)?,
        at: 0,
    };
    let filter = reader.or(0).ok_or_else(not_understood)?;
    match reader.peek() {
        None => Ok(filter),
        Some(_) => Err(not_understood()),
    }
}

impl Filter {
    /// Whether an object is one that is asked for. A property that it does not have is null.
    pub(super) fn takes(&self, object: &Value) -> bool {
        match self {
            Self::And(a, b) => a.takes(object) && b.takes(object),
            Self::Or(a, b) => a.takes(object) || b.takes(object),
            Self::Not(a) => !a.takes(object),
            Self::Is(property, operator, value) => {
                let found = property
                    .split('/')
                    .try_fold(object, |object, name| object.get(name));
                holds(found.unwrap_or(&Value::Null), *operator, value)
            }
        }
    }

    /// The comparison, where the filter is one and nothing else.
    pub(super) fn only(&self) -> Option<(&str, Operator, &str)> {
        match self {
            Self::Is(property, operator, Value::String(value)) => {
                Some((property, *operator, value))
            }
            _ => None,
        }
    }
}

fn holds(found: &Value, operator: Operator, wanted: &Value) -> bool {
    let texts = || {
        let (found, wanted) = (found.as_str()?, wanted.as_str()?);
        Some((found.to_lowercase(), wanted.to_lowercase()))
    };
    match (operator, texts()) {
        (Operator::Equal, Some((found, wanted))) => found == wanted,
        (Operator::NotEqual, Some((found, wanted))) => found != wanted,
        (Operator::Equal, None) => found == wanted,
        (Operator::NotEqual, None) => found != wanted,
        (Operator::Has, Some((found, wanted))) => {
            let has = |flag: &str| found.split(',').any(|other| other.trim() == flag.trim());
            wanted.split(',').all(has)
        }
        (Operator::StartsWith, Some((found, wanted))) => found.starts_with(&wanted),
        (Operator::EndsWith, Some((found, wanted))) => found.ends_with(&wanted),
        (Operator::Contains, Some((found, wanted))) => found.contains(&wanted),
        (_, None) => false,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Literal(Value),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '(' => {
                tokens.push(Token::Open);
                1
            }
            ')' => {
                tokens.push(Token::Close);
                1
            }
            ',' => {
                tokens.push(Token::Comma);
                1
            }
            '\'' => {
                let (literal, taken) = quoted(rest)?;
                // An enum's value may carry its type: `microsoft.graph.platforms'windows10'`.
                if matches!(tokens.last(), Some(Token::Word(word)) if word.contains('.')) {
                    tokens.pop();
                }
                tokens.push(Token::Literal(Value::String(literal)));
                taken
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "(),'".contains(c));
                let word = rest.get(..end.unwrap_or(rest.len()))?;
                tokens.push(match (word, word.parse::<i64>()) {
                    ("true", _) => Token::Literal(Value::Bool(true)),
                    ("false", _) => Token::Literal(Value::Bool(false)),
                    ("null", _) => Token::Literal(Value::Null),
                    (_, Ok(number)) => Token::Literal(number.into()),
                    _ => Token::Word(word.to_owned()),
                });
                word.len()
            }
        };
        rest = rest.get(taken..)?.trim_start();
    }
    Some(tokens)
}

/// A text in quotes, in which a quote is doubled; and how long it is with them.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let mut literal = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match (letter, letters.peek()) {
            ('\'', Some((_, '\''))) => {
                literal.push('\'');
                letters.next();
            }
            ('\'', _) => return Some((literal, at + 1)),
            (letter, _) => literal.push(letter),
        }
    }
    None
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        if is_it {
            self.at += 1;
        }
        is_it
    }

    fn takes(&mut self, token: &Token) -> Option<()> {
        (self.next()? == *token).then_some(())
    }

    fn or(&mut self, depth: u32) -> Option<Filter> {
        let mut filter = self.and(depth)?;
        while self.takes_word("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.and(depth)?));
        }
        Some(filter)
    }

    fn and(&mut self, depth: u32) -> Option<Filter> {
        let mut filter = self.single(depth)?;
        while self.takes_word("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.single(depth)?));
        }
        Some(filter)
    }

    fn single(&mut self, depth: u32) -> Option<Filter> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.takes_word("not") {
            return Some(Filter::Not(Box::new(self.single(depth + 1)?)));
        }
        match self.next()? {
            Token::Open => {
                let filter = self.or(depth + 1)?;
                self.takes(&Token::Close)?;
                Some(filter)
            }
            Token::Word(word) => {
                let function = FUNCTIONS.iter().find(|(name, _)| *name == word);
                match function {
                    Some((_, operator)) => self.arguments(*operator),
                    None => self.compared(word),
                }
            }
            _ => None,
        }
    }

    fn arguments(&mut self, operator: Operator) -> Option<Filter> {
        self.takes(&Token::Open)?;
        let Token::Word(property) = self.next()? else {
            return None;
        };
        self.takes(&Token::Comma)?;
        let Token::Literal(value) = self.next()? else {
            return None;
        };
        self.takes(&Token::Close)?;
        Some(Filter::Is(property, operator, value))
    }

    fn compared(&mut self, property: String) -> Option<Filter> {
        let Token::Word(word) = self.next()? else {
            return None;
        };
        let (_, operator) = OPERATORS.iter().find(|(name, _)| *name == word)?;
        let Token::Literal(value) = self.next()? else {
            return None;
        };
        Some(Filter::Is(property, *operator, value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_filter_says_is_taken_and_nothing_else() {
        let object = json!({
            "name": "Pilot's", "platforms": "windows10,linux", "isAssigned": true,
            "templateReference": { "templateFamily": "none" }, "priority": 3, "mail": null,
        });
        for (filter, expected) in [
            ("name eq 'Pilot''s'", true),
            ("name eq 'pilot''s'", true),
            ("name ne 'Pilot''s'", false),
            ("platforms has 'windows10' and name eq 'x'", false),
            ("platforms has 'windows10' or name eq 'x'", true),
            ("platforms has microsoft.graph.platforms'windows10'", true),
            ("platforms has 'ios'", false),
            ("not (name eq 'x')", true),
            ("startswith(name,'pi') and isAssigned eq true", true),
            ("contains(name, 'lot') and endswith(name, 's')", true),
            ("templateReference/templateFamily eq 'none'", true),
            ("priority eq 3", true),
            ("mail eq null and nothing eq null", true),
            ("(name eq 'x' or name eq 'y') and priority eq 3", false),
        ] {
            let read = read(filter).unwrap();
            assert_eq!(read.takes(&object), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let nested = format!("{}a eq 1{}", "(".repeat(40), ")".repeat(40));
        let long = format!("name eq '{}'", "x".repeat(MAX_LENGTH));
        for filter in [
            "",
            "name",
            "name eq",
            "name eq 'x",
            "name like 'x'",
            "name eq x",
            "(name eq 'x'",
            "name eq 'x' name eq 'x'",
            "startswith(name)",
            "any(x:x eq 1)",
            &nested,
            &long,
        ] {
            assert!(read(filter).is_err(), "{filter}");
        }
    }
}
