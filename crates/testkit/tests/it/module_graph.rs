//! Which files of a crate use which, read from their tokens.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Path of a module within its crate; the root's is empty.
type Path = Vec<String>;

/// The files of a crate.
#[derive(Default)]
pub(crate) struct ModuleGraph(BTreeMap<Path, Module>);

#[derive(Default)]
struct Module {
    uses: Vec<Path>,
    /// Names that others may use in place of the path where the item is.
    reexports: Vec<(String, Path)>,
}

/// One path of a `use` declaration, and the name under which it is used.
struct Use {
    path: Path,
    name: String,
}

impl ModuleGraph {
    /// Adds a file, given by its path below `src` without `.rs`. Tests in it (`#[cfg(test)]`) do not count.
    pub(crate) fn add(&mut self, file: &str, text: &str) {
        let path: Path = file.split('/').map(ToOwned::to_owned).collect();
        let path = match path.as_slice() {
            [root] if root == "lib" || root == "main" => Vec::new(),
            [parents @ .., last] if last == "mod" => parents.to_vec(),
            _ => path,
        };
        let tokens: TokenStream = text.parse().expect("a file that compiles");
        self.0.entry(path).or_default().read(tokens);
    }

    /// Returns the sets of modules that use each other in a circle. A part may use its whole (`super::..`), since both are
    /// one module in several files; the root only names the parts.
    pub(crate) fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let edges: BTreeMap<_, _> = self.0.keys().map(|module| (module.clone(), self.used_by(module))).collect();
        let reachable = |from: &Path| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(module) = next.pop() {
                next.extend(edges[module].iter().filter(|used| seen.insert((*used).clone())));
            }
            seen
        };
        let reachable: BTreeMap<_, _> = self.0.keys().map(|module| (module.clone(), reachable(module))).collect();
        let circle = |module: &Path| {
            let back = reachable[module].iter().filter(|other| reachable[*other].contains(module));
            back.map(|other| other.join("/")).collect::<BTreeSet<_>>()
        };
        self.0.keys().map(circle).filter(|circle| circle.len() > 1).collect()
    }

    fn used_by(&self, module: &Path) -> BTreeSet<Path> {
        let used = self.0[module].uses.iter().filter_map(|path| self.absolute(module, path));
        let used = used.map(|path| self.resolve(&path, 0));
        used.filter(|used| !module.starts_with(used)).collect()
    }

    /// Returns the path from the root; `None` if it leads to another crate.
    fn absolute(&self, module: &Path, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let (parents, _) = module.split_at(module.len().saturating_sub(1));
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" if rest.first().is_some_and(|next| next == "super") => self.absolute(module, rest),
            "self" => Some([module, rest].concat()),
            "super" if rest.first().is_some_and(|next| next == "super") => self.absolute(&parents.to_vec(), rest),
            "super" => Some([parents, rest].concat()),
            _ => Some([module, path].concat()).filter(|path| self.0.contains_key(&path[..=module.len()])),
        }
    }

    /// Finds the module that an item is in, through re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Path {
        let longest = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(longest.unwrap_or(0));
        let module = module.to_vec();
        let reexport = rest.first().and_then(|item| self.reexport(&module, item)).filter(|_| depth < 8);
        reexport.map_or(module, |of| self.resolve(&[of, rest[1..].to_vec()].concat(), depth + 1))
    }

    fn reexport(&self, module: &Path, item: &str) -> Option<Path> {
        let reexports = &self.0.get(module)?.reexports;
        let named = reexports.iter().find(|(name, _)| name == item);
        named.and_then(|(_, path)| self.absolute(module, path)).or_else(|| {
            let mut globs = reexports.iter().filter(|(name, _)| name == "*");
            globs.find_map(|(_, path)| self.reexport(&self.absolute(module, path)?, item))
        })
    }
}

impl Module {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) if is_test(&tokens[..at]) && group.delimiter() == Delimiter::Bracket => {
                    at += tokens[at..].iter().take_while(|token| !ends_item(token)).count() + 1;
                }
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Ident(word) if word == "use" => {
                    let length = tokens[at..].iter().take_while(|token| !is_punct(token, ';')).count();
                    let uses = uses(&tokens[at..at + length], &[]);
                    if is_public(&tokens[..at - 1]) {
                        self.reexports.extend(uses.into_iter().map(|one| (one.name, one.path)));
                    } else {
                        self.uses.extend(uses.into_iter().map(|one| one.path));
                    }
                    at += length;
                }
                TokenTree::Ident(word) if word == "crate" || word == "super" || word == "self" => {
                    let path = path(&tokens[at - 1..]);
                    at += 3 * (path.len() - 1);
                    self.uses.extend(Some(path).filter(|path| path.len() > 1));
                }
                _ => {}
            }
        }
    }
}

/// Returns whether the last token is the bracket of `#[cfg(test)]`.
fn is_test(tokens: &[TokenTree]) -> bool {
    let [.., hash, bracket] = tokens else { return false };
    is_punct(hash, '#') && bracket.to_string().replace(' ', "") == "[cfg(test)]"
}

fn ends_item(token: &TokenTree) -> bool {
    is_punct(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Returns whether what comes next is `pub` or `pub(..)`.
fn is_public(before: &[TokenTree]) -> bool {
    let is_pub = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Ident(word)) if word == "pub");
    let mut before = before.iter().rev();
    match before.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => is_pub(before.next()),
        last => is_pub(last),
    }
}

/// Reads `a::b::c` from the beginning of `tokens`.
fn path(tokens: &[TokenTree]) -> Path {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(word), after @ ..] = rest {
        path.push(word.to_string());
        let [first, second, next @ ..] = after else { break };
        if !is_punct(first, ':') || !is_punct(second, ':') {
            break;
        }
        rest = next;
    }
    path
}

/// Expands the tree of a `use` declaration: `a::{b, c as d}`.
fn uses(tree: &[TokenTree], prefix: &[String]) -> Vec<Use> {
    let own = path(tree);
    let full = [prefix, &own].concat();
    let braces = tree.iter().find_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().into_iter().collect::<Vec<_>>()),
        _ => None,
    });
    if let Some(inner) = braces {
        let parts = inner.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty());
        return parts.flat_map(|part| uses(part, &full)).collect();
    }
    let path = full.strip_suffix(&["self".to_owned()]).filter(|rest| !rest.is_empty()).unwrap_or(&full).to_vec();
    let name = match tree {
        [.., TokenTree::Ident(word), TokenTree::Ident(name)] if word == "as" => name.to_string(),
        [.., last] if is_punct(last, '*') => "*".to_owned(),
        _ => path.last().cloned().unwrap_or_default(),
    };
    vec![Use { path, name }]
}

#[test]
fn circles_are_found_through_uses_paths_and_reexports() {
    let circles = |files: &[(&str, &str)]| {
        let mut graph = ModuleGraph::default();
        for (file, text) in files {
            graph.add(file, text);
        }
        graph.circles().into_iter().map(|circle| circle.into_iter().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let root = ("lib", "mod a; mod b; mod c; pub use a::{A, *}; pub(crate) use self::b::B as Bee;");
    let none: [&str; 0] = [];
    for b in
        ["use crate::{A, c::C};", "fn f() { g(crate::a::h()) }", "use crate::{c, a::{self}};", "use super::a as x;"]
    {
        assert_eq!(circles(&[root, ("a", "use crate::Bee;"), ("b", b), ("c", "")]), ["a b"], "{b}");
    }
    for b in
        ["// crate::a", "#[cfg(test)] mod tests { use crate::A; }", "const A: &str = \"crate::a\";", "use crate::c;"]
    {
        assert_eq!(circles(&[root, ("a", "use crate::Bee;"), ("b", b), ("c", "")]), none, "{b}");
    }
    let inner = ("a/inner", "pub struct I; use super::A; use crate::b;");
    assert_eq!(circles(&[root, ("a/mod", "mod inner; use self::inner::I;"), inner, ("b", "")]), none, "whole and part");
    assert_eq!(circles(&[root, ("a/mod", "pub use inner::I;"), inner, ("b", "use crate::I;")]), ["a/inner b"]);
    assert_eq!(circles(&[("a", "use crate::b::X;"), ("b", "use crate::c::X;"), ("c", "use crate::a::X;")]), ["a b c"]);
}
