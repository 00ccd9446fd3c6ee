//! A Maildir: a file per message, in `new` until it was seen, in `cur` from then on. <https://cr.yp.to/proto/maildir.html>

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::bail;

/// Largest part of a message that is read, in bytes. What a report says is at its beginning.
const LARGEST: u64 = 8 * 1024 * 1024;

/// An existing Maildir.
#[derive(Debug)]
pub(crate) struct Maildir(PathBuf);

impl Maildir {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        if !folder.join("new").is_dir() || !folder.join("cur").is_dir() {
            bail!("{} is no Maildir: it must have the folders new and cur", folder.display());
        }
        Ok(Self(folder.to_owned()))
    }

    /// Returns the messages that nobody has seen, oldest name first.
    pub(super) fn unseen(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in ["new", "cur"] {
            for entry in fs::read_dir(self.0.join(folder))? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let is_seen = folder == "cur" && flags(&name).contains('S');
                if !is_seen && !name.starts_with('.') && entry.file_type()?.is_file() {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Moves a message to those that were seen.
    pub(super) fn mark_seen(&self, file: &Path) -> io::Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let unique = name.split_once(":2,").map_or(&*name, |(unique, _)| unique);
        let mut flags: Vec<char> = flags(&name).chars().chain(['S']).collect();
        flags.sort_unstable();
        fs::rename(file, self.0.join("cur").join(format!("{unique}:2,{}", flags.into_iter().collect::<String>())))
    }
}

/// Reads a message.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    File::open(file)?.take(LARGEST).read_to_end(&mut message)?;
    Ok(message)
}

/// The flags at the end of a file's name.
fn flags(name: &str) -> &str {
    name.split_once(":2,").map_or("", |(_, flags)| flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_seen_once() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Maildir::open(folder.path()).is_err());
        for name in ["new", "cur", "tmp"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        for file in ["new/1.x", "new/.hidden", "cur/2.x:2,", "cur/3.x:2,RS", "cur/4.x:2,F", "tmp/5.x"] {
            fs::write(folder.path().join(file), file).expect("written");
        }
        let maildir = Maildir::open(folder.path()).expect("a Maildir");
        let unseen = maildir.unseen().expect("read");
        assert_eq!(unseen.len(), 3, "{unseen:?}");
        for file in &unseen {
            assert!(!read(file).expect("read").is_empty());
            maildir.mark_seen(file).expect("moved");
        }
        assert!(maildir.unseen().expect("read").is_empty());
        let mut seen: Vec<_> = fs::read_dir(folder.path().join("cur"))
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        seen.sort();
        assert_eq!(seen, ["1.x:2,S", "2.x:2,S", "3.x:2,RS", "4.x:2,FS"]);
    }
}
