//! libbpf loads what bpfweld linked, through libbpf-rs, and runs it.

use anyhow::{Context as _, Result, ensure};
use bpfweld_loaders::{EXPECTED, by_binding, by_name, twice};
use libbpf_rs::{ObjectBuilder, ProgramInput};

fn main() -> Result<()> {
    for ((name, verdicts), object) in
        EXPECTED.into_iter().zip([by_name()?, by_binding()?, twice()?])
    {
        let loaded = ObjectBuilder::default().name("welded")?.open_memory(&object)?.load()?;
        let program = loaded.progs_mut().find(|p| p.name() == name).context("no program")?;
        for wanted in verdicts {
            let input = ProgramInput { data_in: Some(&[0; 64]), ..ProgramInput::default() };
            let verdict = program.test_run(input)?.return_value;
            ensure!(verdict == wanted, "{name} returns {verdict} instead of {wanted}");
        }
        println!("libbpf: {name} {verdicts:?}");
    }
    Ok(())
}
