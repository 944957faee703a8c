//! A disk that loses what was not synced. The bytes of a file are durable once the file was synced, its name once its
//! directory was, and until then a power cut leaves what it likes: of the bytes any pages, as they are written back in any
//! order; of the changes to the names of a directory the first so many, as file systems keep them in order.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use super::{Entry, Step};
use crate::support::random::Random;

/// What is written back as one.
const PAGE: usize = 4096;

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// All names and no bytes.
    Names,
    /// Some names and some pages, by chance.
    Some(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Dir,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Debug, Default, Clone)]
struct File {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// What names became of one call: those that are gone are nothing.
type Names = Vec<(String, Option<Node>)>;

#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    /// Of each directory, in order.
    unsynced_names: BTreeMap<String, Vec<Names>>,
}

fn directory(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(dir, _)| dir)
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => bytes.resize(*length, 0),
        Change::Write(at, new) => {
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
    }
}

/// A write as what is written back each by itself.
fn pages(at: usize, bytes: &[u8]) -> Vec<Change> {
    let (mut pages, mut from) = (Vec::new(), 0);
    while from < bytes.len() {
        let to = bytes.len().min(from + PAGE - (at + from) % PAGE);
        pages.push(Change::Write(at + from, bytes[from..to].to_vec()));
        from = to;
    }
    pages
}

impl Disk {
    /// What happens next.
    pub fn step(&mut self, entry: &Entry) {
        let name = &entry.name;
        match &entry.step {
            Step::Open => {}
            Step::Create { inode } => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.by_inode.insert(*inode, file);
                self.rename(vec![(name.clone(), Some(Node::File(file)))]);
            }
            Step::Write { inode, at, bytes } => self.file(*inode).unsynced.extend(pages(*at, bytes)),
            Step::Truncate { inode, length, .. } => self.file(*inode).unsynced.push(Change::Truncate(*length)),
            Step::Sync { inode } => {
                let file = self.file(*inode);
                for change in std::mem::take(&mut file.unsynced) {
                    apply(&mut file.durable, &change);
                }
            }
            Step::SyncNames => {
                for names in self.unsynced_names.remove(name).unwrap_or_default() {
                    set(&mut self.durable_names, &names);
                }
            }
            Step::MakeDir => self.rename(vec![(name.clone(), Some(Node::Dir))]),
            Step::Rename { to } => {
                let node = self.names.get(name).copied();
                self.rename(vec![(name.clone(), None), (to.clone(), node)]);
            }
            Step::Link { to } => {
                let node = self.names.get(name).copied();
                self.rename(vec![(to.clone(), node)]);
            }
            Step::Unlink => self.rename(vec![(name.clone(), None)]),
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        &mut self.files[self.by_inode[&inode]]
    }

    fn rename(&mut self, names: Names) {
        let dir = directory(&names[0].0).to_owned();
        assert!(names.iter().all(|(name, _)| directory(name) == dir), "{names:?} are in two directories");
        set(&mut self.names, &names);
        self.unsynced_names.entry(dir).or_default().push(names);
    }

    /// Writes what a power cut leaves now of this folder of the root in the place of what is there.
    pub fn cut(&self, left: Left, root: &Path, folder: &str) {
        let mut random = Random(if let Left::Some(seed) = left { seed } else { 0 });
        let mut names = self.durable_names.clone();
        for changes in self.unsynced_names.values() {
            let some = match left {
                Left::Nothing => 0,
                Left::Names => changes.len(),
                Left::Some(_) => random.below(changes.len() + 1),
            };
            changes.iter().take(some).for_each(|change| set(&mut names, change));
        }
        let _ = fs::remove_dir_all(root.join(folder));
        let mut contents: HashMap<usize, Vec<u8>> = HashMap::new();
        // In order, so that a directory comes before what is in it.
        for (name, node) in &names {
            let path = root.join(name);
            match node {
                // In a directory that is lost.
                _ if !path.parent().unwrap().is_dir() => {}
                Node::Dir => make_dir(&path),
                Node::File(file) => {
                    let bytes = contents.entry(*file).or_insert_with(|| self.files[*file].left(left, &mut random));
                    write_private(&path, bytes);
                }
            }
        }
    }
}

impl File {
    fn left(&self, left: Left, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // Of one file all, none, or some: a cut may come before, after, or within its writing back.
        let of_three = random.below(3);
        for change in &self.unsynced {
            let stays = match left {
                Left::Nothing | Left::Names => false,
                Left::Some(_) => of_three == 0 || of_three == 1 && random.below(2) == 0,
            };
            if stays {
                apply(&mut bytes, change);
            }
        }
        bytes
    }
}

fn set(names: &mut BTreeMap<String, Node>, change: &Names) {
    for (name, node) in change {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
}

fn make_dir(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

fn write_private(path: &Path, bytes: &[u8]) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
