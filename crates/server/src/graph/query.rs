//! The query options of a list (OData 4.01, 5.1), and lists as they are answered.

use axum::Json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{Version, filter, filter::Filter};
use crate::{app::App, error::Refusal, policies::edit::bad};

/// Rows of a page, unless the request says; and the most it may say.
const ROWS: usize = 100;
const MOST_ROWS: usize = 999;

/// Options of a request.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    select: Vec<String>,
    expand: String,
    order: Option<(String, bool)>,
    top: Option<usize>,
    place: Option<String>,
    count: bool,
    /// As it came, for the next page.
    kept: Vec<(String, String)>,
}

impl Query {
    pub(super) fn read(raw: Option<&str>) -> Result<Self, Refusal> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(raw.unwrap_or_default())
            .map_err(|_| bad("the query is not one of a form"))?;
        let mut query = Self::default();
        for (name, value) in &pairs {
            // `$` may be left out (OData 4.01, 5.1).
            match name.strip_prefix('$').unwrap_or(name) {
                "filter" => query.filter = Some(filter::read(value)?),
                "select" => {
                    query.select = value
                        .split(',')
                        .map(|name| name.trim().to_owned())
                        .collect();
                }
                "expand" => query.expand.clone_from(value),
                "orderby" => query.order = Some(order(value)?),
                "top" => {
                    let top = value
                        .parse()
                        .ok()
                        .filter(|top| (1..=MOST_ROWS).contains(top));
                    query.top = Some(top.ok_or_else(|| bad("$top is 1 to 999"))?);
                }
                "skiptoken" => query.place = Some(place(value)?),
                "count" => query.count = value == "true",
                "search" | "apply" | "skip" | "format" => {
                    return Err(bad(&format!("the query option {name:?} is not offered")));
                }
                _ => {}
            }
        }
        query.kept = pairs
            .into_iter()
            .filter(|(name, _)| name.trim_start_matches('$') != "skiptoken")
            .collect();
        Ok(query)
    }

    /// Whether a navigation property is to be in the answer; inner ones are found by their name too.
    pub(super) fn expands(&self, name: &str) -> bool {
        let is_part = |c: char| !c.is_alphanumeric();
        self.expand.split(is_part).any(|part| part == name)
    }

    /// Whether only properties are expanded that there are.
    pub(super) fn expect_expands(&self, known: &[&str]) -> Result<(), Refusal> {
        let parts = self.expand.split(|c: char| !c.is_alphanumeric());
        let mut parts = parts.filter(|part| !part.is_empty() && *part != "expand");
        match parts.find(|part| !known.contains(part)) {
            None => Ok(()),
            Some(part) => Err(bad(&format!(
                "Could not find a property named '{part}' to expand."
            ))),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.top.unwrap_or(ROWS)
    }

    pub(super) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The properties that are asked for, of a resource.
    fn selected(&self, row: Value) -> Value {
        match row {
            Value::Object(fields) if !self.select.is_empty() => {
                let is_wanted = |name: &String| {
                    name.starts_with('@')
                        || self.select.iter().any(|wanted| wanted == name)
                        || self.expands(name)
                };
                let fields = fields.into_iter().filter(|(name, _)| is_wanted(name));
                Value::Object(fields.collect())
            }
            row => row,
        }
    }
}

fn order(text: &str) -> Result<(String, bool), Refusal> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(name), None | Some("asc"), None) => Ok((name.to_owned(), false)),
        (Some(name), Some("desc"), None) => Ok((name.to_owned(), true)),
        _ => Err(bad("$orderby is one property, asc or desc")),
    }
}

fn place(text: &str) -> Result<String, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    place.ok_or_else(|| bad("$skiptoken is none of this list's places"))
}

/// Where an answer belongs.
pub(super) struct Place<'a> {
    pub(super) app: &'a App,
    pub(super) version: Version,
    /// The path below the version.
    pub(super) path: &'a str,
}

impl Place<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{}/{path}", self.app.url, self.version.prefix())
    }

    /// One resource.
    pub(super) fn one(&self, query: &Query, row: Value) -> Json<Value> {
        let mut fields = Map::new();
        let context = self.url(&format!("$metadata#{}/$entity", self.path));
        fields.insert("@odata.context".to_owned(), json!(context));
        if let Value::Object(row) = query.selected(row) {
            fields.extend(row);
        }
        Json(Value::Object(fields))
    }

    /// A page of a list whose rows are all there: filtered, ordered, cut.
    pub(super) fn list(&self, query: &Query, rows: Vec<Value>) -> Result<Json<Value>, Refusal> {
        let takes = |row: &Value| query.filter.as_ref().is_none_or(|filter| filter.takes(row));
        let mut rows: Vec<Value> = rows.into_iter().filter(takes).collect();
        if let Some((name, is_descending)) = &query.order {
            let key = |row: &Value| match row.get(name) {
                Some(Value::String(text)) => text.to_lowercase(),
                // Numbers by their length, then their digits.
                Some(value) => format!("{:020}", value.as_u64().unwrap_or(0)),
                None => String::new(),
            };
            rows.sort_by_key(key);
            if *is_descending {
                rows.reverse();
            }
        }
        let first = match query.place() {
            None => 0,
            Some(place) => place
                .parse()
                .map_err(|_| bad("$skiptoken is none of this list's places"))?,
        };
        let total = rows.len();
        let page: Vec<Value> = rows.into_iter().skip(first).take(query.rows()).collect();
        let end = first + page.len();
        let next = (end < total).then(|| end.to_string());
        let mut answer = self.page(query, page, next);
        if query.count
            && let Some(fields) = answer.as_object_mut()
        {
            fields.insert("@odata.count".to_owned(), json!(total));
        }
        Ok(Json(answer))
    }

    /// A page, and the place of the next one.
    pub(super) fn page(&self, query: &Query, rows: Vec<Value>, next: Option<String>) -> Value {
        let rows: Vec<Value> = rows.into_iter().map(|row| query.selected(row)).collect();
        let mut answer = json!({
            "@odata.context": self.url(&format!("$metadata#{}", self.path)),
            "value": rows,
        });
        let next = next.map(|place| {
            let token = ("$skiptoken".to_owned(), URL_SAFE_NO_PAD.encode(place));
            let pairs: Vec<_> = query.kept.iter().chain([&token]).collect();
            let pairs = serde_urlencoded::to_string(pairs).unwrap_or_default();
            format!("{}?{pairs}", self.url(self.path))
        });
        if let (Some(next), Some(fields)) = (next, answer.as_object_mut()) {
            fields.insert("@odata.nextLink".to_owned(), json!(next));
        }
        answer
    }
}
