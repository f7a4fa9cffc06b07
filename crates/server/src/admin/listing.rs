//! Lists by pages: the rows as an array, and in a header what the next page is asked for with.

use axum::{
    Json,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;
use store::{Listing, Page};

use super::malformed;
use crate::error::Refusal;

/// Where the place of the next page is.
pub(crate) const NEXT: HeaderName = HeaderName::from_static("latchkey-next");

/// The most rows of a page, and how many there are unless the request says.
const MOST: u32 = 500;

/// `?prefix=&after=&most=`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    prefix: String,
    after: Option<String>,
    most: Option<u32>,
}

impl Asked {
    /// The page that is asked for.
    pub(crate) fn page(self) -> Result<Page, Refusal> {
        let most = self.most();
        Ok(Page {
            after: self.place()?,
            prefix: self.prefix,
            most,
        })
    }

    pub(crate) fn most(&self) -> u32 {
        self.most.unwrap_or(MOST).clamp(1, MOST)
    }

    /// What the page before said.
    pub(crate) fn place(&self) -> Result<Option<String>, Refusal> {
        let read = |text: &String| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            String::from_utf8(bytes).ok()
        };
        match &self.after {
            None => Ok(None),
            Some(after) => read(after)
                .map(Some)
                .ok_or_else(|| malformed("`after` is none of this list's places")),
        }
    }
}

/// Rows, and the place of the next ones.
pub(crate) struct Rows {
    pub(crate) rows: Vec<Value>,
    pub(crate) next: Option<String>,
}

impl Rows {
    /// A page, each row as it is told.
    pub(crate) fn of<T>(listing: &Listing<T>, told: impl Fn(&T) -> Value) -> Self {
        Self {
            rows: listing.rows.iter().map(told).collect(),
            next: listing.next.clone(),
        }
    }

    /// All there are.
    pub(crate) fn all(rows: impl IntoIterator<Item = Value>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            next: None,
        }
    }
}

impl IntoResponse for Rows {
    fn into_response(self) -> Response {
        let mut response = Json(self.rows).into_response();
        let next = self.next.map(|place| URL_SAFE_NO_PAD.encode(place));
        if let Some(next) = next.and_then(|place| HeaderValue::from_str(&place).ok()) {
            response.headers_mut().insert(NEXT, next);
        }
        response
    }
}
