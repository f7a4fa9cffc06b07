use super::*;

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("latchkey-files-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn reason(outcome: Result<Option<Vec<u32>>, Error>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_back_and_belongs_to_its_owner_alone() {
    let folder = scratch("round");
    let path = folder.join("state.json");
    assert_eq!(read::<Vec<u32>>(&path).unwrap(), None);
    write(&path, &vec![1, 2]).unwrap();
    write(&path, &vec![3]).unwrap();
    assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![3]));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn writers_of_one_file_never_put_anothers_half_in_place() {
    let folder = scratch("writers");
    let path = folder.join("state.json");
    let write_one = |length: usize| {
        for _ in 0..20 {
            write(&path, &vec![7u32; length]).unwrap();
            let found = read::<Vec<u32>>(&path).unwrap().unwrap();
            assert!([1, 5_000].contains(&found.len()), "{}", found.len());
        }
    };
    std::thread::scope(|scope| {
        for length in [1, 5_000, 1, 5_000] {
            scope.spawn(move || write_one(length));
        }
    });
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_truncated_file_is_named_and_kept() {
    let folder = scratch("truncated");
    let path = folder.join("state.json");
    write(&path, &vec![1, 2]).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(reason(read(&path)).contains("state.json"), "{length}");
        assert_eq!(fs::read(&path).unwrap().len(), length);
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_a_newer_release_is_refused_by_its_version() {
    let folder = scratch("newer");
    let path = folder.join("state.json");
    fs::write(&path, r#"{"version":2,"data":"of another shape"}"#).unwrap();
    assert!(reason(read(&path)).contains("version 2"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn removing_what_is_not_there_is_a_success() {
    let folder = scratch("remove");
    remove(&folder.join("state.json")).unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_a_crash_left_half_written_is_swept_away_and_nothing_else() {
    let folder = scratch("sweep");
    let path = folder.join("state.json");
    write(&path, &vec![1]).unwrap();
    fs::write(folder.join("state.new"), "{\"versi").unwrap();
    sweep(&folder).unwrap();
    assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![1]));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_secret_is_made_once_and_one_of_another_length_is_refused_and_kept() {
    let folder = scratch("secret");
    let path = folder.join("value.auth");
    let made = secret(&path).unwrap();
    assert!(made == secret(&path).unwrap());
    assert_ne!(*made.expose(), [0; 32]);
    fs::write(&path, [1; 31]).unwrap();
    assert!(
        secret(&path)
            .unwrap_err()
            .to_string()
            .contains("value.auth")
    );
    assert_eq!(fs::read(&path).unwrap(), [1; 31]);
    fs::remove_dir_all(&folder).unwrap();
}
