//! aya loads what bpfweld linked, and runs it.

use anyhow::{Context as _, Result, ensure};
use aya::programs::Xdp;
use aya::{EbpfLoader, TestRun as _, TestRunOptions};
use bpfweld_loaders::{EXPECTED, by_binding, by_name, twice};

fn main() -> Result<()> {
    for ((name, verdicts), object) in
        EXPECTED.into_iter().zip([by_name()?, by_binding()?, twice()?])
    {
        let mut loaded = EbpfLoader::new().load(&object)?;
        let program: &mut Xdp = loaded.program_mut(name).context("no program")?.try_into()?;
        program.load()?;
        for wanted in verdicts {
            let options = TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::new() };
            let verdict = program.test_run(options)?.return_value;
            ensure!(verdict == wanted, "{name} returns {verdict} instead of {wanted}");
        }
        println!("aya: {name} {verdicts:?}");
    }
    Ok(())
}
