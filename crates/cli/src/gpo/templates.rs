//! The administrative templates of Latchkey's own settings.

use anyhow::bail;
use sysvol::child;

use super::{Domain, Done};

const ADMX: &str = include_str!("../../../../packaging/policy-definitions/Latchkey.admx");
const ADML: &str = include_str!("../../../../packaging/policy-definitions/en-US/Latchkey.adml");

/// Puts them into the central store. The texts first: an editor that finds a template without
/// texts complains.
pub(super) async fn install(domain: &mut Domain, make_store: bool) -> anyhow::Result<Done> {
    let store = format!(
        "{}/Policies/PolicyDefinitions",
        domain.directory.domain().dns_name
    );
    if domain.sysvol.list(&store).await?.is_none() {
        if !make_store {
            bail!(
                "the domain has no central store; with --make-store it is made, and editors of \
                 Windows then look for all templates there"
            );
        }
        domain.sysvol.make_folder(&store).await?;
    }
    let texts = child(&store, "en-US");
    domain.sysvol.make_folder(&texts).await?;
    let mut done = Done::default();
    for (path, content) in [
        (child(&texts, "Latchkey.adml"), ADML),
        (child(&store, "Latchkey.admx"), ADMX),
    ] {
        domain.sysvol.write(&path, content.as_bytes()).await?;
        done.note(format!("Wrote {path}."));
    }
    Ok(done)
}
