use super::*;
use crate::{
    alarms,
    history::DELETION_THRESHOLD,
    testing::{Parts, alice},
    threshold::Deletions,
};

#[tokio::test]
async fn an_account_longer_than_a_request_does_not_keep_the_others_out() {
    let parts = Parts::new("long", "");
    let (config, agent) = (parts.config.clone(), parts.agent.clone());
    let writes = (Lease::held(), Arc::default());
    let folder = parts.folder.clone();
    let mut import = Import::new(config, parts.door(), agent, folder, writes).unwrap();
    let mut user = User {
        display_name: "a".repeat(api::MAX_BULK_BODY),
        ..alice()
    };
    import.put_user(&user).await.unwrap();
    assert_eq!(import.courier.held.ids(), [user.guid]);
    user.display_name = "Alice".to_owned();
    import.put_user(&user).await.unwrap();
    assert_eq!(import.courier.queued(), 1);
    let outcome = import.courier.outcome();
    assert_eq!(outcome.errors[0].code, "too_long");
}

#[tokio::test]
async fn too_many_deletions_are_one_alarm_and_told_to_the_server_until_it_hears_of_it() {
    let parts = Parts::new("gone", "");
    let start = || {
        let (config, agent) = (parts.config.clone(), parts.agent.clone());
        let writes = (Lease::held(), Arc::default());
        Import::new(config, parts.door(), agent, parts.folder.clone(), writes).unwrap()
    };
    let mut import = start();
    let going = Deletions {
        deletions: 1,
        lately: 500,
        total: 600,
    };
    let gone = [(Kind::User, Guid::NIL)];
    for is_new in [false, false, true] {
        if is_new {
            import = start();
        }
        // There is no server.
        let stopped = import.stop(&Threshold::default(), &gone, going).await;
        assert!(stopped.is_err());
        assert!(!import.departures.is_told());
        let kept: Alarms = parts.folder.read(alarms::FILE).unwrap().unwrap();
        assert_eq!(kept.alarms[DELETION_THRESHOLD].count, 1);
        let waiting = import.courier.waiting();
        assert_eq!(waiting[0].code.as_deref(), Some(DELETION_THRESHOLD));
        let detail = waiting[0].detail.as_deref().unwrap();
        assert!(detail.contains("after 500"), "{detail}");
    }
}

fn guid(number: u32) -> Guid {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Guid::from_le_bytes(bytes)
}

#[test]
fn a_group_that_the_server_has_is_told_that_its_last_member_left() {
    let mut known = Known::default();
    known.taken(Kind::Group, guid(1), 1);
    let mut present = HashSet::from([guid(9)]);
    let left = [guid(8)];
    // The second was never told of; the third has the first in it.
    let groups = [(1, &left), (2, &left), (3, &[guid(1)])];
    let groups = groups.map(|(group, members)| (guid(group), &members[..]));
    concerned(groups.into_iter(), &mut present, &known);
    assert_eq!(present, HashSet::from([1, 3, 9].map(guid)));
}

#[test]
fn groups_in_groups_in_groups_cost_no_more_than_others() {
    const DEPTH: u32 = 10_000;
    let chain: Vec<Guid> = (0..=DEPTH).map(guid).collect();
    let pairs = chain.windows(2);
    let groups = pairs.map(|pair| (pair[1], &pair[..1]));
    let mut present = HashSet::from([guid(0)]);
    let begun = Instant::now();
    concerned(groups.rev(), &mut present, &Known::default());
    assert_eq!(present.len(), DEPTH as usize + 1);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
