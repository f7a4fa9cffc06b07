//! Lists: by what they are looked up by, or all that may be seen, page by page.
//!
//! A page is asked for by its place (RFC 9865), which costs the same at the end of a hundred thousand
//! as at their beginning, or by the number of its first row, as older provisioners do.

use api::scim::{LIST_SCHEMA, MAX_RESULTS};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Listing, Page};

use super::{
    Shown,
    filter::{self, Equals},
    resources::{Kind, Resource, find, is_seen},
    show,
    trouble::Trouble,
};
use crate::{access::Provisioner, app::App};

/// The query of a list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Asked {
    filter: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    cursor: Option<String>,
}

/// Answers a list.
pub(super) async fn list(
    app: &App,
    who: &Provisioner,
    kind: Kind,
    asked: Asked,
) -> Result<Shown, Trouble> {
    if let Some(text) = &asked.filter {
        let wanted = filter::read(text).ok_or_else(|| {
            let sentence = "the filter is not ATTRIBUTE eq \"VALUE\"";
            Trouble::bad("invalidFilter", sentence)
        })?;
        let found = looked_up(app, who, kind, &wanted).await?;
        return Ok(answer(found.len() as u64, 1, found, None));
    }
    match (who, kind) {
        (Provisioner::App(_), Kind::Computer) => {
            let sentence = "there are too many to list: name one in a filter";
            Err(Trouble::bad("tooMany", sentence))
        }
        _ => everything(app, who, kind, &asked).await,
    }
}

fn answer(total: u64, start: u64, resources: Vec<Value>, next: Option<String>) -> Shown {
    let mut body = json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    if let (Some(next), Some(fields)) = (next, body.as_object_mut()) {
        fields.insert("nextCursor".to_owned(), json!(URL_SAFE_NO_PAD.encode(next)));
    }
    Shown::ok(body)
}

async fn looked_up(
    app: &App,
    who: &Provisioner,
    kind: Kind,
    wanted: &Equals,
) -> Result<Vec<Value>, Trouble> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let found: Vec<Resource> = match (kind, wanted.attribute.as_str()) {
        (_, "id" | "externalid") => match wanted.value.parse() {
            Ok(id) => find(app, who, kind, id).await?.into_iter().collect(),
            Err(_) => Vec::new(),
        },
        (Kind::User, "username") => {
            let user = store.user_by_upn(tenant, &wanted.value).await?;
            user.map(Resource::User).into_iter().collect()
        }
        (Kind::Group, "displayname") => {
            let groups = store.groups_named(tenant, &wanted.value).await?;
            groups.into_iter().map(Resource::Group).collect()
        }
        _ => {
            let sentence = "this kind is not looked up by that attribute";
            return Err(Trouble::bad("invalidFilter", sentence));
        }
    };
    let seen = found.iter().filter(|found| is_seen(who, found));
    Ok(seen.map(shown).collect())
}

fn shown(resource: &Resource) -> Value {
    match resource {
        Resource::User(user) => show::user(user),
        Resource::Group(group) => show::group(group),
        Resource::Computer(computer) => show::computer(computer),
    }
}

/// An agent is shown the rows of its domain, and of a page perhaps none: the cursor says where it ends.
async fn everything(
    app: &App,
    who: &Provisioner,
    kind: Kind,
    asked: &Asked,
) -> Result<Shown, Trouble> {
    let count = asked.count.unwrap_or(MAX_RESULTS.into());
    let count = u32::try_from(count.clamp(0, MAX_RESULTS.into())).unwrap_or(MAX_RESULTS);
    let start = u64::try_from(asked.start_index.unwrap_or(1).max(1)).unwrap_or(1);
    let total = total(app, kind).await?;
    if count == 0 {
        return Ok(answer(total, start, Vec::new(), None));
    }
    let mut place = match asked.cursor.as_deref() {
        None | Some("") => None,
        Some(cursor) => Some(read_cursor(cursor)?),
    };
    let mut skip = start - 1;
    while skip > 0 && asked.cursor.is_none() {
        let most = u32::try_from(skip).unwrap_or(u32::MAX).min(MAX_RESULTS);
        let passed = page(app, kind, place, most).await?;
        skip -= passed.rows.len() as u64;
        if passed.next.is_none() {
            return Ok(answer(total, start, Vec::new(), None));
        }
        place = passed.next;
    }
    let Listing { rows, next } = page(app, kind, place, count).await?;
    let rows = rows.iter().filter(|row| is_seen(who, row)).map(shown);
    Ok(answer(total, start, rows.collect(), next))
}

fn read_cursor(text: &str) -> Result<String, Trouble> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    place.ok_or_else(|| Trouble::bad("invalidCursor", "the cursor is none of this list's"))
}

async fn page(
    app: &App,
    kind: Kind,
    after: Option<String>,
    most: u32,
) -> Result<Listing<Resource>, Trouble> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let page = Page {
        after,
        ..Page::first(most)
    };
    let listing = match kind {
        Kind::Group => store.groups(tenant, page).await.map(all(Resource::Group)),
        Kind::User => store.users(tenant, page).await.map(all(Resource::User)),
        Kind::Computer => {
            let computers = store.computers(tenant, page).await;
            computers.map(all(Resource::Computer))
        }
    };
    listing.map_err(Trouble::of_store)
}

fn all<T>(of: fn(T) -> Resource) -> impl FnOnce(Listing<T>) -> Listing<Resource> {
    move |Listing { rows, next }| Listing {
        rows: rows.into_iter().map(of).collect(),
        next,
    }
}

async fn total(app: &App, kind: Kind) -> Result<u64, Trouble> {
    if kind == Kind::User {
        return Ok(app.store.count_users(app.tenant.id).await?);
    }
    let (mut total, mut place) = (0, None);
    loop {
        let passed = page(app, kind, place, MAX_RESULTS).await?;
        total += passed.rows.len() as u64;
        match passed.next {
            Some(next) => place = Some(next),
            None => return Ok(total),
        }
    }
}
