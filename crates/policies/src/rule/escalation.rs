//! `allowPrivilegeEscalation` and `defaultAllowPrivilegeEscalation`.

use crate::cel;

use super::Demand;

/// A container that adds this capability is not given the default, as if it were privileged.
pub(crate) const EXEMPTING: &str = "CAP_SYS_ADMIN";

pub(crate) struct Escalation<'x> {
    pub(crate) default: Option<bool>,
    pub(crate) allowed: bool,
    /// The capabilities that the SCC adds by default.
    pub(crate) added: &'x [String],
}

impl Escalation<'_> {
    /// Whether the container of security context `c` is exempt from the default.
    fn is_exempt(&self) -> String {
        let adds = format!("{} in c.?capabilities.?add.orValue([])", cel::text(EXEMPTING));
        let is_added = self.added.iter().any(|name| name == EXEMPTING);
        let given =
            is_added.then(|| format!(" || !({} in c.?capabilities.?drop.orValue([]))", cel::text(EXEMPTING)));
        format!("(c.?privileged.orValue(false) || {adds}{})", given.unwrap_or_default())
    }

    pub(crate) fn demands(&self) -> Vec<Demand> {
        if self.allowed {
            return Vec::new();
        }
        let finding = "allowPrivilegeEscalation must be false";
        let mut demands = vec![Demand::new(
            "escalation",
            "allowPrivilegeEscalation: false",
            "!variables.escalating",
            finding,
        )];
        if self.default == Some(true) {
            let holds =
                format!("variables.contexts.all(c, 'allowPrivilegeEscalation' in c || {})", self.is_exempt());
            demands.push(Demand::new("escalation", "defaultAllowPrivilegeEscalation: true", holds, finding));
        }
        demands
    }

    pub(crate) fn settled(&self) -> Option<String> {
        match (self.allowed, self.default) {
            (false, _) => Some("!variables.lacksEscalation".to_owned()),
            (true, None) => None,
            (true, Some(_)) => Some(format!(
                "variables.frozenContexts.all(c, 'allowPrivilegeEscalation' in c || {})",
                self.is_exempt()
            )),
        }
    }

    /// The value that a container is given, and that of one that is exempt.
    pub(crate) fn gifts(&self) -> (String, String) {
        let least = (!self.allowed).then_some(false);
        (cel::list(self.default.or(least)), cel::list(least))
    }
}
