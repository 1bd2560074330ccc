//! Which applications are recognised? Those that come with the program and those of the operator's file, read whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataplane::dpi::AppTable;
use dataplane::policy::PolicyError;

use super::PolicyLoadError;
use crate::store::policy_file;

/// The applications in force and where they came from.
#[derive(Debug, Clone, Default)]
pub struct Applications {
    file: Option<PathBuf>,
    table: Arc<AppTable>,
}

impl Applications {
    /// The built-in ones and, after them, those of `file`.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError::File`], or everything that is wrong with it as [`PolicyLoadError::Invalid`].
    pub fn load(file: Option<&Path>) -> Result<Self, PolicyLoadError> {
        let table = read(AppTable::default(), file)?;
        Ok(Self { file: file.map(Path::to_path_buf), table })
    }

    /// What is recognised by them.
    #[must_use]
    pub const fn table(&self) -> &Arc<AppTable> {
        &self.table
    }

    /// Reads the file anew, beside the table in force; `None` where there is no file.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub(super) fn reread(&self) -> Result<Option<Self>, PolicyLoadError> {
        let Some(file) = &self.file else { return Ok(None) };
        let table = read(self.table.successor(), Some(file))?;
        Ok(Some(Self { file: self.file.clone(), table }))
    }
}

fn read(table: AppTable, file: Option<&Path>) -> Result<Arc<AppTable>, PolicyLoadError> {
    let mut table = table.with_builtin();
    if let Some(path) = file {
        let failed = |source| PolicyLoadError::File { path: path.into(), source };
        let bytes = policy_file::read(path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()))
        })?;
        table.add(&text).map_err(|errors| {
            let mistake = |error: &dataplane::dpi::app::AppFileError| PolicyError {
                file: path.display().to_string(),
                line: u32::try_from(error.line).unwrap_or(u32::MAX),
                column: 1,
                path: String::new(),
                reason: error.what.clone(),
            };
            PolicyLoadError::Invalid { errors: errors.iter().map(mistake).collect() }
        })?;
    }
    Ok(Arc::new(table))
}
