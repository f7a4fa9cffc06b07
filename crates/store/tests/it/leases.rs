//! Which agent may write, the keys of agents, and their end.

use model::{Guid, UnixTime};
use store::{Lease, LeaseRequest, Store};

use crate::{NOW, audit, domain, guid, on_every_store, other_domain, some_agent, tenant};

on_every_store!(
    the_lease_stays_with_whoever_renews_it_and_goes_on_after_it_ran_out,
    a_copy_of_the_machine_is_another_holder,
    one_in_staging_never_has_it_and_gives_it_back,
    each_domain_has_a_lease_of_its_own,
    of_many_who_ask_at_once_one_has_it,
    a_clock_that_was_set_back_keeps_others_out_for_one_lease_more,
    what_an_agent_said_last_is_kept,
    an_agent_has_the_key_that_came_last,
    an_agent_that_is_deleted_leaves_its_lease_free,
);

/// The agents of the domain: one that every store has, and one more.
const ONE: u8 = 4;
const TWO: u8 = 8;

fn request(agent: u8, instance: u8) -> LeaseRequest {
    LeaseRequest {
        staging: false,
        instance: guid(instance),
        host: format!("host{agent}"),
        version: "1".to_owned(),
    }
}

async fn ask(store: &Store, agent: u8, instance: u8, at: UnixTime) -> Lease {
    let asked = request(agent, instance);
    let lease = store.lease(tenant(), domain(), guid(agent), asked, at);
    lease.await.unwrap()
}

async fn looks_on(store: &Store, agent: u8, instance: u8, at: UnixTime) -> Lease {
    let asked = LeaseRequest {
        staging: true,
        ..request(agent, instance)
    };
    let lease = store.lease(tenant(), domain(), guid(agent), asked, at);
    lease.await.unwrap()
}

async fn holder(store: &Store, at: UnixTime) -> Option<Guid> {
    store.lease_holder(tenant(), domain(), at).await.unwrap()
}

fn of_host(agent: u8, seconds: i64) -> Lease {
    Lease::Other(format!("host{agent}"), seconds)
}

async fn the_lease_stays_with_whoever_renews_it_and_goes_on_after_it_ran_out(store: Store) {
    assert_eq!(holder(&store, NOW).await, None);
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    assert_eq!(ask(&store, TWO, 1, NOW).await, of_host(ONE, 65));
    let later = NOW.plus(20);
    assert_eq!(ask(&store, ONE, 1, later).await, Lease::Held(60));
    assert_eq!(holder(&store, later.plus(59)).await, Some(guid(ONE)));
    assert_eq!(holder(&store, later.plus(60)).await, None);
    assert_eq!(ask(&store, TWO, 1, later.plus(64)).await, of_host(ONE, 1));
    assert_eq!(ask(&store, TWO, 1, later.plus(65)).await, Lease::Held(60));
    assert_eq!(ask(&store, ONE, 1, later.plus(65)).await, of_host(TWO, 65));
}

async fn a_copy_of_the_machine_is_another_holder(store: Store) {
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    assert_eq!(ask(&store, ONE, 2, NOW).await, of_host(ONE, 65));
    assert_eq!(looks_on(&store, ONE, 2, NOW).await, of_host(ONE, 65));
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
}

async fn one_in_staging_never_has_it_and_gives_it_back(store: Store) {
    assert_eq!(looks_on(&store, TWO, 1, NOW).await, Lease::Free);
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    assert_eq!(looks_on(&store, TWO, 1, NOW).await, of_host(ONE, 65));
    assert_eq!(looks_on(&store, ONE, 1, NOW).await, Lease::Free);
    assert_eq!(ask(&store, TWO, 1, NOW).await, Lease::Held(60));
}

async fn each_domain_has_a_lease_of_its_own(store: Store) {
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    let asked = request(5, 1);
    let other = store.lease(tenant(), other_domain(), guid(5), asked, NOW);
    assert_eq!(other.await.unwrap(), Lease::Held(60));
}

async fn of_many_who_ask_at_once_one_has_it(store: Store) {
    let mut asking = tokio::task::JoinSet::new();
    for instance in 0..8 {
        let store = store.clone();
        asking.spawn(async move { ask(&store, ONE, instance, NOW).await });
    }
    let leases = asking.join_all().await;
    let held = leases.iter().filter(|lease| **lease == Lease::Held(60));
    assert_eq!(held.count(), 1, "{leases:?}");
}

async fn a_clock_that_was_set_back_keeps_others_out_for_one_lease_more(store: Store) {
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    let earlier = NOW.plus(-3600);
    assert_eq!(ask(&store, TWO, 1, earlier).await, of_host(ONE, 65));
    assert_eq!(ask(&store, TWO, 1, earlier.plus(64)).await, of_host(ONE, 1));
    assert_eq!(ask(&store, TWO, 1, earlier.plus(65)).await, Lease::Held(60));
}

async fn what_an_agent_said_last_is_kept(store: Store) {
    let said = async || {
        let agent = store.agent(tenant(), guid(ONE)).await.unwrap();
        agent.unwrap().said
    };
    assert_eq!(said().await, None);
    looks_on(&store, ONE, 1, NOW.plus(7)).await;
    let last = said().await.unwrap();
    assert_eq!((last.host.as_str(), last.version.as_str()), ("host4", "1"));
    assert_eq!((last.staging, last.at), (true, NOW.plus(7)));
}

async fn an_agent_has_the_key_that_came_last(store: Store) {
    let set = async |id: u8, key: &[u8]| {
        let set = store.set_agent_key(tenant(), guid(id), key.to_vec(), audit("agent.key"));
        set.await.unwrap()
    };
    assert!(set(ONE, b"new").await);
    assert!(!set(ONE, b"new").await, "repeated");
    assert!(!set(99, b"new").await);
    let agent = store.agent(tenant(), guid(ONE)).await.unwrap().unwrap();
    assert_eq!(agent.public_key, b"new");
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    let count = rows.iter().filter(|row| row.action == "agent.key").count();
    assert_eq!(count, 1);
}

async fn an_agent_that_is_deleted_leaves_its_lease_free(store: Store) {
    assert_eq!(some_agent(ONE, domain()).id, guid(ONE));
    assert_eq!(ask(&store, ONE, 1, NOW).await, Lease::Held(60));
    let delete = async || {
        let deleted = store.delete_agent(tenant(), guid(ONE), audit("agent.revoke"));
        deleted.await.unwrap()
    };
    assert!(delete().await);
    assert!(!delete().await, "repeated");
    assert_eq!(store.agent(tenant(), guid(ONE)).await.unwrap(), None);
    assert_eq!(ask(&store, TWO, 1, NOW).await, Lease::Held(60));
}
