//! The files of the project, as they lie in the work tree.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Where the workspace is.
pub(crate) static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
});

/// A text of the project.
pub(crate) struct Text {
    /// Below the root.
    pub(crate) path: String,
    pub(crate) content: String,
}

impl Text {
    pub(crate) fn read(path: &str) -> Self {
        let content = fs::read_to_string(ROOT.join(path));
        Self {
            path: path.to_owned(),
            content: content.unwrap_or_else(|e| panic!("{path}: {e}")),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }
}

/// Every file that is text, in order; what is built and what git keeps is left out.
pub(crate) static TEXTS: LazyLock<Vec<Text>> = LazyLock::new(|| {
    let mut texts = Vec::new();
    collect(&ROOT, &mut texts);
    texts.sort_by(|one, other| one.path.cmp(&other.path));
    texts
});

fn collect(folder: &Path, texts: &mut Vec<Text>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        // In a second work tree of one repository `.git` is a file.
        if ["target", ".git"].contains(&entry.file_name().to_str().unwrap()) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, texts);
        } else if kind.is_file()
            && let Ok(content) = fs::read_to_string(&path)
        {
            let path = path
                .strip_prefix(&*ROOT)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            texts.push(Text { path, content });
        }
    }
}
