//! placeholder
use std::path::Path;
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_root: &Path, _options: &Options) -> anyhow::Result<()> {
    Ok(())
}
