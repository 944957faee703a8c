//! Which source file takes something from which other, read from the code itself: `use` declarations and paths, followed
//! through re-exports to the file that defines the name. Within a crate; test code and macros are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, UseTree, visit::Visit};

/// Where a name that a module re-exports comes from: the module of the `use` and the path it says.
type Path_ = Vec<String>;

#[derive(Default)]
struct Module {
    /// The file, from the repository's root.
    file: String,
    children: BTreeMap<String, usize>,
    /// Names that `use` brings into the module, and what they stand for.
    names: BTreeMap<String, Path_>,
    globs: Vec<Path_>,
    /// Every path that the module's code says, relative to itself.
    said: BTreeSet<Path_>,
    parent: Option<usize>,
}

/// The modules of one crate.
pub struct Crate {
    modules: Vec<Module>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && quote(attribute).contains("test")
    })
}

fn quote(attribute: &Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string(),
        _ => String::new(),
    }
}

/// Takes the paths of one module's code; does not enter its inner modules.
struct Paths<'a>(&'a mut Module);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            flatten(&item.tree, &mut Vec::new(), self.0);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.0.said.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }
}

fn flatten(tree: &UseTree, path: &mut Path_, module: &mut Module) {
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            flatten(&inner.tree, path, module);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, module)),
        UseTree::Glob(_) => {
            module.said.insert(path.clone());
            module.globs.push(path.clone());
        }
        UseTree::Name(name) => take(&name.ident, &name.ident, path, module),
        UseTree::Rename(rename) => take(&rename.ident, &rename.rename, path, module),
    }
}

fn take(name: &syn::Ident, known_as: &syn::Ident, path: &[String], module: &mut Module) {
    let mut whole = path.to_vec();
    if name != "self" {
        whole.push(name.to_string());
    }
    let known_as = if known_as == "self" { path.last().cloned().unwrap_or_default() } else { known_as.to_string() };
    module.said.insert(whole.clone());
    module.names.insert(known_as, whole);
}

impl Crate {
    /// Reads a crate from its root file.
    pub fn read(root: &Path, file: &Path) -> Self {
        let mut read = Self { modules: Vec::new() };
        read.module(root, file, file.parent().unwrap(), None);
        read
    }

    fn module(&mut self, root: &Path, file: &Path, folder: &Path, parent: Option<usize>) -> usize {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(root).unwrap().display().to_string();
        self.items(root, &parsed.items, name, folder, parent)
    }

    fn items(&mut self, root: &Path, items: &[Item], file: String, folder: &Path, parent: Option<usize>) -> usize {
        let this = self.modules.len();
        self.modules.push(Module { file: file.clone(), parent, ..Module::default() });
        for item in items {
            match item {
                Item::Mod(module) if is_test(&module.attrs) => {}
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inner = folder.join(&name);
                    let child = match &module.content {
                        Some((_, items)) => self.items(root, items, file.clone(), &inner, Some(this)),
                        None => {
                            let beside: PathBuf = folder.join(format!("{name}.rs"));
                            let within = inner.join("mod.rs");
                            let file = if beside.is_file() { &beside } else { &within };
                            self.module(root, file, &inner, Some(this))
                        }
                    };
                    self.modules[this].children.insert(name, child);
                }
                other => Paths(&mut self.modules[this]).visit_item(other),
            }
        }
        this
    }

    /// The module that defines what a path names, if it is one of this crate.
    fn find(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        if depth > 8 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => self.modules[from].parent.and_then(|parent| {
                if rest.is_empty() {
                    Some(parent)
                } else if rest[0] == "super" {
                    self.find(parent, rest, depth)
                } else {
                    self.walk(parent, rest, depth)
                }
            }),
            name if self.modules[from].children.contains_key(name) => self.walk(from, path, depth),
            name => match self.modules[from].names.get(name) {
                // Something of another crate, or a path that starts with an imported name.
                Some(whole) if whole.len() == 1 && whole[0] == *name => None,
                Some(whole) => {
                    let whole: Path_ = whole.iter().chain(rest).cloned().collect();
                    self.find(from, &whole, depth + 1)
                }
                None => None,
            },
        }
    }

    /// Follows the rest of a path inside a module.
    fn walk(&self, module: usize, path: &[String], depth: usize) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(module) };
        if let Some(child) = self.modules[module].children.get(first) {
            return self.walk(*child, rest, depth);
        }
        if let Some(whole) = self.modules[module].names.get(first) {
            let whole: Path_ = whole.iter().chain(rest).cloned().collect();
            return self.find(module, &whole, depth + 1);
        }
        let through = self.modules[module].globs.iter().find_map(|glob| {
            let found = self.find(module, glob, depth + 1)?;
            (found != module && self.modules[found].children.contains_key(first)).then_some((found, path))
        });
        match through {
            Some((found, path)) => self.walk(found, path, depth + 1),
            None => Some(module),
        }
    }

    /// Which file takes something from which other file. A module that only opens its children takes nothing from them.
    pub fn uses(&self) -> BTreeSet<(String, String)> {
        let mut uses = BTreeSet::new();
        for (index, module) in self.modules.iter().enumerate() {
            let opens: BTreeSet<&Path_> = module.names.values().chain(&module.globs).collect();
            for path in &module.said {
                let Some(target) = self.find(index, path, 0) else { continue };
                let (from, to) = (&module.file, &self.modules[target].file);
                let reexport = is_root(from) && opens.contains(path) && self.is_below(target, index);
                if from != to && !reexport {
                    uses.insert((from.clone(), to.clone()));
                }
            }
        }
        uses
    }

    fn is_below(&self, module: usize, above: usize) -> bool {
        std::iter::successors(Some(module), |at| self.modules[*at].parent).any(|at| at == above)
    }
}

/// Whether a file is a crate's or a folder's own.
fn is_root(file: &str) -> bool {
    ["lib.rs", "mod.rs"].iter().any(|name| file.ends_with(&format!("/{name}")))
}
