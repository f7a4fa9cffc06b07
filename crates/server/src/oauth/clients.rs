//! Clients: applications that an administrator registered, and those that are known by their
//! published ids. A registration under such an id replaces what is known of it, which is how its
//! weaker forms are switched on.

use api::{GRAPH_AUDIENCE, REGISTRATION_AUDIENCE, WORKSTATION_CLIENT};
use store::{App as Application, AppKind, Compat};

use super::scope;
use crate::{app::App, error::Refusal, facts::Facts};

/// The broker of Windows, which other systems' brokers speak as too.
const BROKER: &str = "29d9ed98-a469-4536-ade2-f981bc1d605e";
/// What asks for primary refresh tokens.
const TOKEN_BROKER: &str = "38aa3b87-a06d-4817-b275-7a316988d93b";
/// The broker of Linux.
const LINUX_BROKER: &str = "b743a22d-6705-4147-8670-d92fa515ee2b";
/// What registers keys.
const KEY_PROVISIONING: &str = "dd762716-544d-4aeb-a526-687b73838a22";
/// Microsoft's command line.
const COMMAND_LINE: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// The page that public clients of Entra ID are sent to.
const NATIVE: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";

/// What is known of a client without a registration.
struct Known {
    id: &'static str,
    name: &'static str,
    redirect_uris: &'static [&'static str],
    resources: &'static [&'static str],
}

const FIRST_PARTY: &[&str] = &[
    REGISTRATION_AUDIENCE,
    GRAPH_AUDIENCE,
    "https://graph.windows.net",
    "https://enrollment.manage.microsoft.com",
    "c44b4083-3bb0-49c1-b47d-974e53cbdf3c",
];

const KNOWN: [Known; 6] = [
    Known {
        id: WORKSTATION_CLIENT,
        name: "Latchkey workstation",
        redirect_uris: &[],
        resources: &[REGISTRATION_AUDIENCE],
    },
    Known {
        id: BROKER,
        name: "Authentication broker",
        redirect_uris: &[
            "msauth://Microsoft.AAD.BrokerPlugin",
            "ms-aadj-redir://auth/drs",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRS",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRSFF",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/29d9ed98-a469-4536-ade2-f981bc1d605e",
            NATIVE,
        ],
        resources: FIRST_PARTY,
    },
    Known {
        id: TOKEN_BROKER,
        name: "Token broker",
        redirect_uris: &[],
        resources: FIRST_PARTY,
    },
    Known {
        id: LINUX_BROKER,
        name: "Authentication broker for Linux",
        redirect_uris: &[
            "companyportal://com.microsoft.CompanyPortal",
            "himmelblau://Himmelblau.EntraId.BrokerPlugin",
        ],
        resources: FIRST_PARTY,
    },
    Known {
        id: KEY_PROVISIONING,
        name: "Key provisioning",
        redirect_uris: &[
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/dd762716-544d-4aeb-a526-687b73838a22",
        ],
        resources: &[REGISTRATION_AUDIENCE],
    },
    Known {
        id: COMMAND_LINE,
        name: "Command line",
        redirect_uris: &[NATIVE],
        resources: &[GRAPH_AUDIENCE, "https://graph.windows.net"],
    },
];

/// Every client that is known by its published id, as it is without a registration.
pub(crate) fn built_in() -> impl Iterator<Item = Application> {
    KNOWN.iter().map(Known::to_application)
}

impl Known {
    fn to_application(&self) -> Application {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Application {
            client_id: self.id.to_owned(),
            name: self.name.to_owned(),
            kind: AppKind::Public,
            redirect_uris: texts(self.redirect_uris),
            post_logout_uris: Vec::new(),
            jwks: None,
            resources: texts(self.resources),
            compat: Compat::default(),
            enabled: true,
        }
    }
}

/// A client that may be served; `None` where it is unknown or switched off.
pub(crate) async fn find(app: &App, client_id: &str) -> Result<Option<Application>, store::Error> {
    find_by(app, &Facts::NONE, client_id).await
}

async fn find_by(
    app: &App,
    facts: &Facts,
    client_id: &str,
) -> Result<Option<Application>, store::Error> {
    let registered = facts.client(app, client_id).await?;
    let known = || {
        let known = KNOWN.iter().find(|known| known.id == client_id)?;
        Some(known.to_application())
    };
    Ok(registered.or_else(known).filter(|client| client.enabled))
}

/// The same for an endpoint that cannot go on without one.
pub(crate) async fn expect(app: &App, client_id: Option<&str>) -> Result<Application, Refusal> {
    expect_by(app, &Facts::NONE, client_id).await
}

/// The same by what is known for the request at hand.
pub(crate) async fn expect_by(
    app: &App,
    facts: &Facts,
    client_id: Option<&str>,
) -> Result<Application, Refusal> {
    let Some(client_id) = client_id.filter(|id| (1..=256).contains(&id.len())) else {
        return Err(Refusal::malformed("client_id is missing, or too long"));
    };
    find_by(app, facts, client_id).await?.ok_or_else(|| {
        let sentence = "this server knows no such client";
        Refusal::bad("unauthorized_client", 700_016, sentence)
    })
}

/// Whether tokens for an audience may be given to a client: those that its registration names, in whole
/// or in part, and those for itself.
pub(crate) fn may_ask(client: &Application, audience: &str) -> bool {
    let of_its_own = [&client.client_id, &format!("api://{}", client.client_id)]
        .iter()
        .any(|own| *own == audience);
    of_its_own
        || client
            .resources
            .iter()
            .any(|resource| part_of(resource).0 == audience)
}

/// What a client may do for its users at an audience, where its registration names no more than parts of
/// it (`https://graph.microsoft.com/User.Read.All`).
pub(crate) fn permissions<'a>(client: &'a Application, audience: &str) -> Option<Vec<&'a str>> {
    let parts = client.resources.iter().map(|resource| part_of(resource));
    let parts = parts.filter(|(of, _)| of == audience);
    let parts: Option<Vec<_>> = parts.map(|(_, permission)| permission).collect();
    parts.filter(|parts| !parts.is_empty())
}

/// A resource by its one name, and the permission where one is meant: Graph alone has any.
fn part_of(resource: &str) -> (String, Option<&str>) {
    let part = resource
        .strip_prefix(GRAPH_AUDIENCE)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|part| !part.is_empty());
    match part {
        Some(part) => (GRAPH_AUDIENCE.to_owned(), Some(part)),
        None => (scope::audience(resource), None),
    }
}

/// Whether a client keeps its users signed in without asking for it: brokers are what others ask.
pub(crate) fn is_broker(client: &Application) -> bool {
    [BROKER, TOKEN_BROKER, LINUX_BROKER].contains(&client.client_id.as_str())
}

/// Whether a client shows one refresh token several times: brokers that know no PKCE do not know
/// rotation either. Theirs end with their time, their account and their device.
pub(crate) fn repeats(client: &Application) -> bool {
    is_broker(client) && client.compat.no_pkce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_by_its_id_has_no_weaker_form() {
        for client in built_in() {
            assert_eq!(client.compat, Compat::default(), "{}", client.name);
        }
    }

    #[test]
    fn a_client_asks_for_what_it_is_registered_for_and_for_itself() {
        let client = KNOWN[4].to_application();
        assert!(may_ask(&client, REGISTRATION_AUDIENCE));
        assert!(may_ask(&client, KEY_PROVISIONING));
        assert!(!may_ask(&client, GRAPH_AUDIENCE));
        assert!(!may_ask(&client, api::DEVICE_AUDIENCE));
    }

    #[test]
    fn a_client_may_be_registered_for_parts_of_graph() {
        let with = |resources: &[&str]| Application {
            resources: resources.iter().map(|name| (*name).to_owned()).collect(),
            ..KNOWN[0].to_application()
        };
        let (one, two) = ("User.Read.All", "Device.Read.All");
        let of = |part: &str| format!("{GRAPH_AUDIENCE}/{part}");
        let parts = with(&[&of(one), &of(two), "api://a/read"]);
        assert!(may_ask(&parts, GRAPH_AUDIENCE));
        assert_eq!(permissions(&parts, GRAPH_AUDIENCE), Some(vec![one, two]));
        assert_eq!(permissions(&parts, "api://a/read"), None);
        for whole in [GRAPH_AUDIENCE, "https://graph.microsoft.com/"] {
            let whole = with(&[&of(one), whole]);
            assert_eq!(permissions(&whole, GRAPH_AUDIENCE), None);
        }
    }
}
