//! The pages that the head of every page links to.

use examhall_core::Role;

use crate::access::Action;

/// A link in the head of every page.
pub(crate) struct NavItem {
    pub(crate) path: &'static str,
    pub(crate) label: &'static str,
    pub(crate) is_current: bool,
}

/// Path, name, and what one must be allowed to do to see it. The longest path that the address begins with is current.
const PAGES: &[(&str, &str, Action)] = &[
    ("/console", "Overview", Action::ReadQueue),
    ("/console/mails", "Mails", Action::ReadMails),
    ("/console/held", "Held", Action::ReadMails),
    ("/console/suppressions", "Suppressions", Action::ReadSuppressions),
    ("/console/failures", "Failures", Action::ReadMails),
    ("/console/mailers", "Mailers", Action::ReadMailers),
    ("/console/charts", "Charts", Action::ReadQueue),
    ("/console/cache", "Cache", Action::ReadCache),
    ("/console/preview", "Preview", Action::PreviewMails),
    ("/console/audit", "Audit", Action::ReadAudit),
];

/// The links for an account of this role, on the page at `path`.
pub(super) fn items(role: Role, path: &str) -> Vec<NavItem> {
    let is_at = |page: &str| path == page || path.strip_prefix(page).is_some_and(|rest| rest.starts_with('/'));
    let current = PAGES.iter().map(|(page, ..)| *page).filter(|page| is_at(page)).max_by_key(|page| page.len());
    let allowed = PAGES.iter().filter(|(_, _, action)| action.is_allowed(role));
    allowed.map(|(path, label, _)| NavItem { path, label, is_current: Some(*path) == current }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_is_current_and_others_are_hidden() {
        let shown = |role, path| {
            let items = items(role, path).into_iter();
            items.map(|item| (item.label, item.is_current)).collect::<Vec<_>>()
        };
        assert_eq!(shown(Role::Admin, "/console/audit")[0], ("Overview", false));
        assert!(shown(Role::Admin, "/console/audit").contains(&("Audit", true)));
        assert!(shown(Role::Operator, "/console").contains(&("Overview", true)));
        assert!(!shown(Role::Operator, "/console").iter().any(|(label, _)| *label == "Audit"));
        assert!(shown(Role::Author, "/console").is_empty());
    }
}
