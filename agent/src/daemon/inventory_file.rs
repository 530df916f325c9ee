//! The inventory file, re-read when it changes; after an invalid edit the last valid version stays in use.

use crate::{api::InventoryStatus, identity::Inventory, yaml::FileError};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Identifies a version of a file: editors modify it in place or replace it.
type Version = Option<(u64, u64, i64, i64)>;

/// The file, as last read.
pub struct InventoryFile {
    file: Option<PathBuf>,
    version: Version,
    fresh: Option<Inventory>,
    status: InventoryStatus,
}

impl InventoryFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// An invalid file at startup is an error: there is no valid version to fall back to.
    pub fn open(file: Option<&Path>) -> Result<Self, FileError> {
        let mut this = Self {
            file: file.map(Path::to_owned),
            version: None,
            fresh: None,
            status: InventoryStatus::default(),
        };
        if let Some(file) = file {
            this.status.file = Some(file.display().to_string());
            this.version = version(file);
            this.accept(Inventory::read(file)?);
        }
        Ok(this)
    }

    fn accept(&mut self, inventory: Inventory) {
        self.status.entries = inventory.entries.len();
        self.status.error = None;
        self.status.read_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs());
        self.fresh = Some(inventory);
    }

    /// A version that has not been returned yet. Reads the file again when it has changed.
    pub fn changed(&mut self) -> Option<Inventory> {
        if let Some(file) = self.file.clone() {
            let version = version(&file);
            if version != self.version {
                self.version = version;
                match Inventory::read(&file) {
                    Ok(inventory) => {
                        tracing::info!("{} has changed and is in use", file.display());
                        self.accept(inventory);
                    }
                    Err(error) => {
                        tracing::error!("{error} (the last good version stays in use)");
                        self.status.error = Some(error.to_string());
                    }
                }
            }
        }
        self.fresh.take()
    }

    /// The state of the file; the caller determines what is `missing`.
    pub fn status(&self, missing: &[String]) -> InventoryStatus {
        InventoryStatus {
            missing: missing.to_vec(),
            ..self.status.clone()
        }
    }
}

fn version(file: &Path) -> Version {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_edit_keeps_the_last_good_version() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("inventory.yaml");
        fs::write(&file, "workloads: [{ name: a }]\n").expect("written");
        let mut inventory = InventoryFile::open(Some(&file)).expect("valid");
        assert_eq!(inventory.changed().expect("the first version").entries.len(), 1);
        assert!(inventory.changed().is_none());

        fs::write(&file, "workloads: [{ name: a, adress: 1 }]\n").expect("written");
        assert!(inventory.changed().is_none());
        let status = inventory.status(&[]);
        assert_eq!(status.entries, 1);
        let error = status.error.expect("an error");
        assert!(error.contains("inventory.yaml:1: unknown field `adress`"), "{error}");

        fs::remove_file(&file).expect("removed");
        assert!(inventory.changed().is_none());
        assert!(
            inventory
                .status(&[])
                .error
                .expect("an error")
                .contains("cannot be read")
        );

        fs::write(&file, "workloads: [{ name: a }, { name: b }]\n").expect("written");
        assert_eq!(inventory.changed().expect("the next version").entries.len(), 2);
        assert_eq!(inventory.status(&[]).error, None);
    }
}
