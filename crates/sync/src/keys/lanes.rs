//! Many pieces of work over a few connections to one domain controller.

use std::sync::{Arc, Mutex, PoisonError};

use directory::Directory;

/// How many connections. A domain controller writes one thing at a time, and reads beside it.
pub(super) const LANES: usize = 4;

/// The connections; for little work they are all the same one.
pub(super) type Lanes = [Arc<Directory>; LANES];

/// Does `work` for each item on whichever connection is free; the answers are in the items' order.
pub(super) async fn each<I, O, F>(
    lanes: &Lanes,
    items: Vec<I>,
    work: impl Fn(Arc<Directory>, I) -> F,
) -> Vec<O>
where
    F: Future<Output = O>,
{
    let queue = Mutex::new(items.into_iter().enumerate());
    let lane = |directory: &Arc<Directory>| {
        let (queue, work, directory) = (&queue, &work, directory.clone());
        async move {
            let mut done = Vec::new();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((place, item)) = next else {
                    return done;
                };
                done.push((place, work(directory.clone(), item).await));
            }
        }
    };
    let [first, second, third, fourth] = lanes;
    let (mut done, b, c, d) = tokio::join!(lane(first), lane(second), lane(third), lane(fourth));
    done.extend(b.into_iter().chain(c).chain(d));
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}
