//! A chain that runs and of which nothing is remembered: its state directory was removed.

use super::{Chain, Change, Options};
use crate::error::ChainError;
use crate::swap::Swapped;

impl Chain<'_> {
    /// Takes such a chain off; `None` where there is none.
    pub(super) fn unload_orphan(
        &mut self,
        options: &Options,
    ) -> Result<Option<Change>, ChainError> {
        self.refresh()?;
        let Some(id) = self.found.orphan else { return Ok(None) };
        if !options.dry_run {
            let (mode, _) = self.interface.program();
            if self.attachment().replace(id, None, mode)? == Swapped::Lost {
                return Ok(None);
            }
            self.host.forget(&self.files)?;
            self.refresh()?;
        }
        Ok(Some(Change::default()))
    }
}
