//! Where the text of a template comes from: the folder of the operator, else what is built in.
//!
//! A name is that of the file in the folder: `layout.html`, `de/result.txt`. What belongs to a language is looked for in the
//! reader's language, in its shorter forms, and in English.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    fs, io,
    path::{Path, PathBuf},
};

use examhall_core::Locale;
use minijinja::Error;
use parking_lot::Mutex;

use super::BadFile;

/// The language that every reader gets whose own there is not.
const ENGLISH: &str = "en";
/// Largest file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Folders below `MAIL_TEMPLATES`, and below each of these.
const MAX_DEPTH: usize = 3;

macro_rules! shared {
    ($($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../templates/", $file)))),*]
    };
}

macro_rules! in_languages {
    ($($language:literal)*) => { &[$(in_language!($language)),*] };
}

macro_rules! in_language {
    ($language:literal) => {
        files_of!($language:
            "already-registered.subject.txt" "already-registered.txt" "already-registered.html"
            "account-deleted.subject.txt" "account-deleted.txt" "account-deleted.html"
            "account-invitation.subject.txt" "account-invitation.txt" "account-invitation.html"
            "exam-invitation.subject.txt" "exam-invitation.txt" "exam-invitation.html"
            "email-changed.subject.txt" "email-changed.txt" "email-changed.html"
            "new-email.subject.txt" "new-email.txt" "new-email.html"
            "password-changed.subject.txt" "password-changed.txt" "password-changed.html"
            "reset.subject.txt" "reset.txt" "reset.html"
            "result.subject.txt" "result.txt" "result.html"
            "result-published.subject.txt" "result-published.txt" "result-published.html"
            "result-changed.subject.txt" "result-changed.txt" "result-changed.html"
            "verification.subject.txt" "verification.txt" "verification.html"
            "footer.txt" "footer.html" "result-summary.txt" "result-summary.html"
            "page-invitation.html" "page-reset.html" "page-trouble.html" "page-undo-email.html" "page-unsubscribe.html" "page-verify.html" "page-welcome.html"
            "password-field.html"
        )
    };
}

macro_rules! files_of {
    ($language:literal: $($file:literal)*) => {
        &[$((concat!($language, "/", $file), include_str!(concat!("../../templates/", $language, "/", $file)))),*]
    };
}

/// Name and text of the files of each built-in language; each has the same files.
const LANGUAGES: &[&[(&str, &str)]] = in_languages!("en" "de");
/// Name and text of the files that all languages share.
const SHARED: &[(&str, &str)] = shared!("layout.html" "button.html" "page.html");

/// A file of the folder.
struct File {
    path: PathBuf,
    text: String,
}

/// All templates by name.
#[derive(Default)]
pub(super) struct Sources {
    custom: BTreeMap<String, File>,
    /// Names of the custom ones that were needed.
    used: Mutex<BTreeSet<String>>,
}

impl Sources {
    /// Those that are built in.
    pub(super) fn built_in() -> Self {
        Self::default()
    }

    /// Reads a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, BadFile> {
        let mut custom = BTreeMap::new();
        read_into(&mut custom, folder, "", 0)?;
        Ok(Self { custom, used: Mutex::default() })
    }

    /// Returns the text of a template; of one that its language lacks, that of another language.
    pub(super) fn load(&self, name: &str) -> Option<&str> {
        let name = self.known(name)?;
        match self.custom.get(&name) {
            Some(file) => {
                self.used.lock().insert(name);
                Some(&file.text)
            }
            None => built_in().find(|(known, _)| *known == name).map(|(_, text)| text),
        }
    }

    /// Returns name and language of the best template for a reader.
    pub(super) fn resolve<'a>(&self, locale: Option<&'a Locale>, file: &str) -> (String, &'a str) {
        let tags = locale.into_iter().flat_map(Locale::lookup).chain([ENGLISH]);
        let mut names = tags.map(|tag| (format!("{tag}/{file}"), tag));
        names.find(|(name, _)| self.has(name)).unwrap_or_else(|| (format!("{ENGLISH}/{file}"), ENGLISH))
    }

    /// Returns whether there is a template in this language.
    pub(super) fn has_language(&self, tag: &str) -> bool {
        self.languages().contains(tag)
    }

    pub(super) fn languages(&self) -> BTreeSet<&str> {
        let names = self.custom.keys().map(String::as_str).chain(built_in().map(|(name, _)| name));
        names.filter_map(|name| name.split_once('/')).filter(|(_, file)| is_known(file)).map(|(tag, _)| tag).collect()
    }

    /// Name and text of the files of the folder.
    pub(super) fn custom(&self) -> impl Iterator<Item = (&str, &str)> {
        self.custom.iter().map(|(name, file)| (name.as_str(), file.text.as_str()))
    }

    /// Files that a language lacks, and files that no template needs.
    pub(super) fn remarks(&self) -> Vec<String> {
        let lacks = |language: &str| {
            let locale = Locale::parse(language).ok()?;
            let is_lacking = |file: &&str| self.resolve(Some(&locale), file).1 == ENGLISH;
            let lacking = of_language().filter(is_lacking).collect::<Vec<_>>().join(", ");
            (language != ENGLISH && !lacking.is_empty()).then(|| format!("in {language} these are English: {lacking}"))
        };
        let used = self.used.lock();
        let unused = self.custom.iter().filter(|(name, _)| !used.contains(*name));
        let unused = unused.map(|(_, file)| format!("no mail or page uses {}", file.path.display()));
        let empty = self.custom.is_empty().then(|| "the folder of MAIL_TEMPLATES holds no template".to_owned());
        self.languages().into_iter().filter_map(lacks).chain(unused).chain(empty).collect()
    }

    /// Returns file, line and reason of a template's error.
    pub(super) fn bad_file(&self, error: &Error) -> BadFile {
        // The innermost names the file that was included or extended.
        let mut inner = error;
        while let Some(cause) = inner.source().and_then(|cause| cause.downcast_ref::<Error>()) {
            inner = cause;
        }
        let reason = match inner.detail() {
            Some(detail) => format!("{}: {detail}", inner.kind()),
            None => inner.kind().to_string(),
        };
        let name = inner.name().or(error.name()).unwrap_or("a template");
        BadFile { file: self.file(name), line: inner.line().filter(|line| *line > 0), reason }
    }

    /// The error of a template that renders to nothing.
    pub(super) fn empty_file(&self, locale: Option<&Locale>, file: &str) -> BadFile {
        BadFile { file: self.file(&self.resolve(locale, file).0), line: None, reason: "renders to nothing".to_owned() }
    }

    fn file(&self, name: &str) -> String {
        let name = self.known(name).unwrap_or_else(|| name.to_owned());
        self.custom.get(&name).map_or_else(|| format!("built-in {name}"), |file| file.path.display().to_string())
    }

    /// The name of what is loaded as `name`.
    fn known(&self, name: &str) -> Option<String> {
        if self.has(name) {
            return Some(name.to_owned());
        }
        let (tag, file) = name.split_once('/')?;
        let (name, _) = self.resolve(Some(&Locale::parse(tag).ok()?), file);
        self.has(&name).then_some(name)
    }

    fn has(&self, name: &str) -> bool {
        self.custom.contains_key(name) || built_in().any(|(known, _)| known == name)
    }
}

/// Whether a template makes plain text, without escapes.
pub(super) fn is_text(name: &str) -> bool {
    ending(name) == "txt"
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    LANGUAGES.iter().flat_map(|files| files.iter()).chain(SHARED).copied()
}

/// Names of the files that each language has.
fn of_language() -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().take(1).flat_map(|files| files.iter()).filter_map(|(name, _)| Some(name.split_once('/')?.1))
}

fn is_known(file: &str) -> bool {
    of_language().any(|known| known == file)
}

/// Reads the templates in `folder`, whose name within that of the operator is `prefix`.
fn read_into(custom: &mut BTreeMap<String, File>, folder: &Path, prefix: &str, depth: usize) -> Result<(), BadFile> {
    let bad = |path: &Path, reason: String| BadFile { file: path.display().to_string(), line: None, reason };
    let failed = |error: io::Error| bad(folder, error.to_string());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.collect();
    for entry in entries.map_err(failed)? {
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| bad(&path, "its name is not UTF-8".to_owned()))?;
        if name.starts_with('.') {
            continue; // also what Kubernetes puts into a mounted ConfigMap
        }
        let about = fs::metadata(&path).map_err(|error| bad(&path, error.to_string()))?;
        if about.is_dir() {
            if depth >= MAX_DEPTH {
                return Err(bad(&path, "too many folders within each other".to_owned()));
            }
            let name = Locale::parse(&name).map_or(name, String::from);
            read_into(custom, &path, &format!("{prefix}{name}/"), depth + 1)?;
        } else if ["txt", "html"].contains(&ending(&name)) {
            if about.len() > MAX_FILE {
                return Err(bad(&path, format!("is larger than {MAX_FILE} bytes")));
            }
            let tag = prefix.trim_end_matches('/');
            if depth == 1 && is_known(&name) && Locale::parse(tag).is_err() {
                return Err(bad(&path, format!("{tag:?} is not a language tag like de or pt-BR (BCP 47)")));
            }
            let text = read_text(&path)?;
            custom.insert(format!("{prefix}{name}"), File { path, text });
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, BadFile> {
    let bad = |line, reason: String| BadFile { file: path.display().to_string(), line, reason };
    let bytes = fs::read(path).map_err(|error| bad(None, error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        bad(Some(before.split(|byte| *byte == b'\n').count()), "is not UTF-8".to_owned())
    })
}
