//! Watches real folders: what leads to a signal, and what must not.

use tokio::time::timeout;

use super::*;

/// Longer than any test: what comes earlier than this was no tick.
const NEVER: Duration = Duration::from_secs(3600);
/// How long an event may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("connectors");
    fs::create_dir(&folder).expect("a folder");
    (root, folder)
}

async fn watcher(folder: &Path) -> Watcher {
    let mut watcher = Watcher::new(folder, NEVER).expect("a watcher");
    signalled(&mut watcher).await;
    watcher
}

#[track_caller]
fn signalled(watcher: &mut Watcher) -> impl Future<Output = ()> {
    let signal = timeout(LIMIT, watcher.changed());
    async { signal.await.expect("there is a signal") }
}

async fn is_silent(watcher: &mut Watcher) -> bool {
    timeout(SILENCE, watcher.changed()).await.is_err()
}

/// Takes the signals that one change may cause one after the other, until there are no more.
async fn settle(watcher: &mut Watcher) {
    signalled(watcher).await;
    while !is_silent(watcher).await {}
}

#[tokio::test]
async fn the_first_scan_is_due_at_once_and_the_next_on_an_event() {
    let (_root, folder) = folder();
    let mut watcher = watcher(&folder).await;
    assert!(is_silent(&mut watcher).await);
    fs::write(folder.join("a.json"), "{}").expect("a file");
    settle(&mut watcher).await;
    fs::remove_file(folder.join("a.json")).expect("a removal");
    signalled(&mut watcher).await;
}

#[tokio::test]
async fn reading_the_folder_is_not_a_reason_to_read_it_again() {
    let (_root, folder) = folder();
    fs::write(folder.join("a.json"), "{}").expect("a file");
    let mut watcher = watcher(&folder).await;
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
    assert_eq!(fs::read(folder.join("a.json")).expect("a file"), b"{}");
    assert!(is_silent(&mut watcher).await);
}

#[tokio::test]
async fn without_events_the_interval_is_left() {
    let (_root, folder) = folder();
    let no_events: Start = |_| Err(notify::Error::generic("no more watches"));
    let interval = Duration::from_millis(30);
    let mut watcher = Watcher::with(&folder, interval, no_events).expect("a watcher");
    signalled(&mut watcher).await;
    let start = Instant::now();
    signalled(&mut watcher).await;
    signalled(&mut watcher).await;
    assert!(start.elapsed() >= 2 * interval);
}

#[tokio::test]
async fn signals_keep_a_distance() {
    let (_root, folder) = folder();
    let mut watcher = watcher(&folder).await;
    let start = Instant::now();
    for count in 1..=3 {
        fs::write(folder.join("a.json"), "{}").expect("a file");
        signalled(&mut watcher).await;
        assert!(start.elapsed() + Duration::from_millis(1) >= DEBOUNCE * (count - 1));
    }
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_created_again_is_watched_again() {
    let (_root, folder) = folder();
    let mut watcher = watcher(&folder).await;
    fs::remove_dir(&folder).expect("a removal");
    // While it is away it is looked for; no event tells that it is back.
    signalled(&mut watcher).await;
    signalled(&mut watcher).await;
    fs::create_dir(&folder).expect("a folder");
    settle(&mut watcher).await;
    fs::write(folder.join("a.json"), "{}").expect("a file");
    signalled(&mut watcher).await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_at_once_is_watched_again() {
    let (_root, folder) = folder();
    let mut watcher = watcher(&folder).await;
    fs::remove_dir(&folder).expect("a removal");
    fs::create_dir(&folder).expect("a folder");
    settle(&mut watcher).await;
    fs::write(folder.join("a.json"), "{}").expect("a file");
    settle(&mut watcher).await;
    fs::rename(&folder, folder.with_extension("old")).expect("a rename");
    fs::create_dir(&folder).expect("a folder");
    settle(&mut watcher).await;
    fs::write(folder.join("b.json"), "{}").expect("a file");
    signalled(&mut watcher).await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_is_looked_for() {
    let (_root, folder) = folder();
    let later = folder.join("later");
    let mut watcher = watcher(&later).await;
    fs::create_dir(&later).expect("a folder");
    settle(&mut watcher).await;
    fs::write(later.join("a.json"), "{}").expect("a file");
    signalled(&mut watcher).await;
}

#[tokio::test]
async fn a_signal_outlives_the_future_that_was_to_deliver_it() {
    let (_root, folder) = folder();
    let mut watcher = watcher(&folder).await;
    fs::write(folder.join("a.json"), "{}").expect("a file");
    let start = Instant::now();
    // Each poll gets a future of its own, dropped before it can end: the first that sees the hint must not lose it.
    while !watcher.owed {
        assert!(start.elapsed() < LIMIT, "the event does not come");
        watcher.last = Some(Instant::now());
        tokio::select! {
            biased;
            () = watcher.changed() => panic!("the debounce alone takes longer than one poll"),
            () = tokio::task::yield_now() => {}
        }
    }
    signalled(&mut watcher).await;
}
