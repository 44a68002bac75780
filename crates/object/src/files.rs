//! Object files of the file system: one, or many in a row.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::iter;
use std::path::Path;
use std::slice;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::elf::MAX_FILE;
use crate::error::{ReadError, ReadProblem};
use crate::file::FileParts;

/// Bytes of files that are handed over at once; the last file of them may go beyond.
const BATCH: usize = 32 << 10;
/// Room for files of which the size need not be asked for.
const ROOM: usize = 8 << 10;
/// Batches of many files; those that are being read and taken are two. With more of them, a thread seldom waits for
/// the other.
const BATCHES: usize = 8;
/// So many of them are given back at once.
const RETURNED: usize = 4;
/// So many bytes are read before a thread for the rest pays: it needs memory of its own, and time to begin.
const FIRST: usize = 64 << 10;

/// Reads files, takes them apart and hands over each, in order: its place in `paths`, its contents and its parts.
/// Beyond the first 64 KiB, another thread does the next ones meanwhile. At most eight times 32 KiB of small files
/// are in memory, or five large ones.
///
/// # Errors
///
/// A file cannot be read, as [`Object::open`](crate::Object::open) tells it, after the files before it were
/// handed over; or what `take` says, which also gets what is wrong with a file.
pub fn read_files<P, E>(
    paths: &[P],
    mut take: impl FnMut(usize, &[u8], Result<&mut FileParts, ReadProblem>) -> Result<(), E>,
) -> Result<(), E>
where
    P: AsRef<Path> + Sync,
    E: From<ReadError>,
{
    let mut taken = 0;
    let mut take_all = |batch: &mut Batch| {
        let mut start = 0;
        for (&end, (parts, problem)) in batch.ends.iter().zip(&mut batch.files) {
            let contents = batch.bytes.get(start..end).unwrap_or_default();
            take(taken, contents, problem.take().map_or(Ok(parts), Err))?;
            taken += 1;
            start = end;
        }
        batch.failed.take().map_or(Ok(()), |error| Err(E::from(error)))
    };
    let (mut rest, mut batch, mut seen) = (paths.iter(), Batch::new(), 0);
    while rest.len() > 0 && seen < FIRST {
        batch.fill(&mut rest);
        seen = seen.saturating_add(batch.bytes.len());
        take_all(&mut batch)?;
    }
    if rest.len() == 0 {
        return Ok(());
    }
    let (empty, to_fill) = sync_channel(BATCHES);
    let (full, to_take) = sync_channel(BATCHES);
    thread::scope(move |scope| {
        let others = rest.clone();
        let fill = move || fill_all(others, &to_fill, &full);
        if thread::Builder::new().spawn_scoped(scope, fill).is_err() {
            while rest.len() > 0 {
                batch.fill(&mut rest);
                take_all(&mut batch)?;
            }
            return Ok(());
        }
        // When the other side is gone, it has read everything.
        let more = (1..BATCHES).map(|_| Batch::new());
        iter::once(batch).chain(more).for_each(|batch| drop(empty.send(batch)));
        // Several at once: waking up the other thread takes its time.
        let mut taken = Vec::with_capacity(RETURNED);
        for mut batch in to_take {
            take_all(&mut batch)?;
            let is_large = batch.is_large();
            taken.push(batch);
            if taken.len() == RETURNED || is_large {
                taken.drain(..).for_each(|batch| drop(empty.send(batch)));
            }
        }
        Ok(())
    })
}

/// The other thread's part. It ends early when a file cannot be read, and when nobody wants more.
fn fill_all<P: AsRef<Path>>(
    mut rest: slice::Iter<'_, P>,
    to_fill: &Receiver<Batch>,
    full: &SyncSender<Batch>,
) {
    let mut spare = BATCHES / 2;
    while rest.len() > 0
        && let Ok(mut batch) = to_fill.recv()
    {
        batch.fill(&mut rest);
        let is_large = batch.is_large();
        let is_last = batch.failed.is_some();
        if full.send(batch).is_err() || is_last {
            return;
        }
        // Of large files, fewer are to be in memory.
        if is_large {
            (0..std::mem::take(&mut spare)).for_each(|_| drop(to_fill.recv()));
        }
    }
}

/// Files in a row.
struct Batch {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// The parts of each, and of others that were here before; what is wrong with it.
    files: Vec<(FileParts, Option<ReadProblem>)>,
    /// Why the one behind them could not be read.
    failed: Option<ReadError>,
}

impl Batch {
    /// With room for all files but large ones. It is made where it is dropped, in one piece, so the memory is of use
    /// for what comes next.
    fn new() -> Self {
        let bytes = Vec::with_capacity(BATCH + ROOM);
        Self { bytes, ends: Vec::new(), files: Vec::new(), failed: None }
    }

    /// Is a file in it that is large?
    fn is_large(&self) -> bool {
        self.bytes.len() > BATCH + ROOM
    }

    /// Reads files in place of those that are there, until the batch is full.
    fn fill<P: AsRef<Path>>(&mut self, rest: &mut slice::Iter<'_, P>) {
        self.bytes.clear();
        self.ends.clear();
        while self.bytes.len() < BATCH
            && let Some(path) = rest.next()
        {
            let start = self.bytes.len();
            if let Err(problem) = append(path.as_ref(), &mut self.bytes) {
                let object = path.as_ref().display().to_string();
                self.failed = Some(ReadError { object, problem: Box::new(problem) });
                return;
            }
            let number = self.ends.len();
            if number == self.files.len() {
                self.files.push(Default::default());
            }
            if let Some((parts, problem)) = self.files.get_mut(number) {
                *problem = parts.parse(self.bytes.get(start..).unwrap_or_default()).err();
            }
            self.ends.push(self.bytes.len());
        }
    }
}

/// Reads a file behind what is there.
pub(crate) fn append(path: &Path, bytes: &mut Vec<u8>) -> Result<(), ReadProblem> {
    let broken = |e: io::Error| match e.kind() {
        ErrorKind::IsADirectory => ReadProblem::Directory,
        kind => ReadProblem::Io { kind, text: e.to_string() },
    };
    let file = File::open(path).map_err(broken)?;
    if bytes.capacity() - bytes.len() < ROOM {
        // What is no regular file tells no size beforehand.
        let expected = file.metadata().map_err(broken)?.len().min(MAX_FILE);
        bytes.reserve(usize::try_from(expected).unwrap_or(0));
    }
    let size = (&file).take(MAX_FILE + 1).read_to_end(bytes).map_err(broken)? as u64;
    if size > MAX_FILE {
        let size = file.metadata().map_or(size, |meta| meta.len().max(size));
        return Err(ReadProblem::TooLarge { size, limit: MAX_FILE });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Files of these sizes, each full of its number.
    fn files(dir: &Path, sizes: &[usize]) -> Vec<PathBuf> {
        let file = |(number, &size): (usize, &usize)| {
            let path = dir.join(number.to_string());
            fs::write(&path, vec![number as u8; size]).unwrap();
            path
        };
        sizes.iter().enumerate().map(file).collect()
    }

    fn read(paths: &[PathBuf]) -> (Vec<usize>, Result<(), ReadError>) {
        let mut sizes = Vec::new();
        let result = read_files(paths, |number, bytes, parts| {
            assert!(parts.is_err());
            assert_eq!(number, sizes.len());
            assert!(bytes.iter().all(|&b| b == number as u8));
            sizes.push(bytes.len());
            Ok(())
        });
        (sizes, result)
    }

    #[test]
    fn all_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for sizes in [
            &[][..],
            &[0, 5],
            &[1, 0, 200_000, 3, 65_536, 65_535, 1, 0, 0, 30_000, 30_000, 30_000, 7, 100_000],
            &[0; 9],
            &[4096; 200],
            &[600_000, 1, 2, 3],
        ] {
            let (seen, result) = read(&files(dir.path(), sizes));
            result.unwrap();
            assert_eq!(seen, sizes);
        }
    }

    #[test]
    fn up_to_what_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        for count in [3, 400] {
            let mut paths = files(dir.path(), &vec![3000; count]);
            for (at, path) in [(count - 1, dir.path()), (count / 2, &dir.path().join("none"))] {
                paths[at] = path.to_owned();
                let (seen, result) = read(&paths);
                assert_eq!(seen.len(), at);
                assert_eq!(result.unwrap_err().object, path.display().to_string());
            }
        }
    }

    #[test]
    fn not_longer_than_they_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let paths = files(dir.path(), &[70_000; 50]);
        let error =
            || ReadError { object: "enough".into(), problem: Box::new(ReadProblem::Nothing) };
        let mut seen = 0;
        let result = read_files(&paths, |number, _, _| {
            seen += 1;
            if number == 2 { Err(error()) } else { Ok(()) }
        });
        assert_eq!((seen, result.unwrap_err().object), (3, "enough".into()));
    }
}
