//! Facts about a pod, its namespace and its user that the expressions of all SCCs need: each once, as a variable that
//! is evaluated at its first use.

use palisade_k8s::scc::annotation::{MCS, REQUIRED_SCC, SUPPLEMENTAL_GROUPS, UID_RANGE, VALIDATED_SCC};
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_k8s::seccomp::{CONTAINER_ANNOTATION, POD_ANNOTATION, RUNTIME_ANNOTATIONS};

use crate::cel::text;
use crate::rule::seccomp::{field_of, judged, name_of};
use crate::rule::selinux::same_level;
use crate::update;

/// Maximum number of annotations of a pod.
pub(crate) const ANNOTATIONS: usize = 500;
/// Maximum number of containers of a pod, of all kinds.
pub(crate) const CONTAINERS: usize = 1_500;

/// A named expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) expression: String,
}

impl Variable {
    pub(crate) fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self { name: name.into(), expression: expression.into() }
    }
}

/// The immutable part of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frozen {
    /// The part that depends on the request: nothing of a new pod, all but ephemeral containers if those are added, all
    /// of a running pod.
    ByRequest,
    /// All: defaults have been set.
    All,
    /// Nothing.
    Nothing,
}

/// The location of the pod in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the object of the request.
    Object,
    /// It is the parameter of the policy: the request connects to it.
    Parameter,
    /// It is the template of a workload, whose pods get the account `default` if it names none.
    Template,
}

impl Place {
    fn metadata(self) -> &'static str {
        match self {
            Self::Object => "object.metadata",
            Self::Parameter => "params.metadata",
            Self::Template => "variables.template.?metadata",
        }
    }

    fn spec(self) -> &'static str {
        match self {
            Self::Object => "object.spec",
            Self::Parameter => "params.spec",
            Self::Template => "variables.template.spec",
        }
    }

    fn account(self) -> &'static str {
        match self {
            Self::Object | Self::Parameter => "variables.spec.?serviceAccountName.orValue('')",
            Self::Template => "variables.spec.?serviceAccountName.orValue('default')",
        }
    }

    /// Whether the expressions would take too long: the API server takes a millisecond for each container, and seconds for
    /// thousands of annotations. An update of a pod that was too large already is decided on, so that the pod can be changed.
    fn is_too_large(self) -> String {
        let large = |metadata: &str, spec: &str| {
            format!(
                "{metadata}.?annotations.orValue({{}}).size() > {ANNOTATIONS} ||\n{spec}.containers.size() + \
                 {spec}.?initContainers.orValue([]).size() + {spec}.?ephemeralContainers.orValue([]).size() > {CONTAINERS}"
            )
        };
        let new = large(self.metadata(), self.spec());
        match self {
            Self::Object => {
                let old = large("oldObject.metadata", "oldObject.spec");
                format!("({new}) &&\n!(request.operation == 'UPDATE' && ({old}))")
            }
            Self::Parameter | Self::Template => new,
        }
    }

    /// Whether a policy looks at the request.
    fn relevant(self) -> String {
        match self {
            Self::Object => format!("!variables.isTooLarge && {}", update::is_relevant()),
            Self::Parameter => {
                format!("!({}) && !({})", update::is_mirrored("variables.annotations"), update::WINDOWS)
            }
            // A workload that another one owns was checked with its owner.
            Self::Template => format!(
                "!variables.isTooLarge && !object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false)) && !({})",
                update::WINDOWS
            ),
        }
    }
}

/// The facts, in an order in which each uses only earlier ones.
pub(crate) fn facts(place: Place, frozen: Frozen) -> Vec<Variable> {
    let mut facts = request(place);
    facts.extend(pod());
    facts.extend(containers(frozen));
    facts.extend(users());
    facts.extend(flags());
    facts.extend(capabilities());
    facts.extend(volumes());
    facts.extend(namespace());
    facts.extend(selinux());
    facts.extend(seccomp());
    facts
}

fn request(place: Place) -> Vec<Variable> {
    let account = "variables.account == '' ? '' : 'system:serviceaccount:' + request.namespace + ':' + variables.account";
    let check = format!(
        "authorizer.group({}).resource({}).namespace(request.namespace)",
        text(GROUP),
        text(RESOURCE)
    );
    let account_check = format!(
        "authorizer.serviceAccount(request.namespace, variables.account == '' ? 'default' : variables.account).group({}).resource({}).namespace(request.namespace)",
        text(GROUP),
        text(RESOURCE)
    );
    vec![
        Variable::new("spec", place.spec()),
        Variable::new("annotations", format!("{}.?annotations.orValue({{}})", place.metadata())),
        Variable::new("isTooLarge", place.is_too_large()),
        Variable::new("relevant", place.relevant()),
        Variable::new("required", format!("variables.annotations[?{}].orValue('')", text(REQUIRED_SCC))),
        Variable::new("annotated", format!("variables.annotations[?{}].orValue('')", text(VALIDATED_SCC))),
        Variable::new("account", place.account()),
        Variable::new("accountUser", account),
        Variable::new(
            "accountGroups",
            "['system:serviceaccounts', 'system:serviceaccounts:' + request.namespace]",
        ),
        Variable::new("userGroups", "request.userInfo.?groups.orValue([])"),
        Variable::new("mayUser", check),
        Variable::new("mayAccount", account_check),
    ]
}

fn pod() -> Vec<Variable> {
    vec![
        Variable::new("security", "variables.spec.?securityContext.orValue({})"),
        Variable::new("sysctls", "variables.security.?sysctls.orValue([]).map(s, s.name)"),
    ]
}

fn containers(frozen: Frozen) -> Vec<Variable> {
    let init = "variables.spec.?initContainers.orValue([])";
    let contexts = |of: &str| format!("variables.{of}.map(c, c.?securityContext.orValue({{}}))");
    let [frozen, frozen_contexts] = match frozen {
        Frozen::All => ["variables.containers".to_owned(), "variables.contexts".to_owned()],
        Frozen::Nothing => ["[]".to_owned(), "[]".to_owned()],
        Frozen::ByRequest => {
            let of_request = format!(
                "request.operation == 'CREATE' ? [] : request.?subResource.orValue('') == 'ephemeralcontainers' ? \
                 {init} + variables.spec.containers : variables.containers"
            );
            [of_request, contexts("frozen")]
        }
    };
    vec![
        Variable::new(
            "containers",
            format!("{init} + variables.spec.containers + variables.spec.?ephemeralContainers.orValue([])"),
        ),
        Variable::new("contexts", contexts("containers")),
        Variable::new("frozen", frozen),
        Variable::new("frozenContexts", frozen_contexts),
    ]
}

fn users() -> Vec<Variable> {
    let open = "!('runAsNonRoot' in variables.security) && variables.frozenContexts.exists(c, !('runAsNonRoot' in c)";
    let no_user = "!('runAsUser' in variables.security)";
    vec![
        Variable::new(
            "users",
            "variables.contexts.map(c, 'runAsUser' in c, c.runAsUser) + \
             ('runAsUser' in variables.security && variables.contexts.exists(c, !('runAsUser' in c)) ? \
             [variables.security.runAsUser] : [])",
        ),
        Variable::new(
            "lacksAnyUser",
            format!("{no_user} && variables.contexts.exists(c, !('runAsUser' in c))"),
        ),
        Variable::new(
            "lacksUser",
            format!("{no_user} && variables.frozenContexts.exists(c, !('runAsUser' in c))"),
        ),
        Variable::new(
            "deniesNonRoot",
            "variables.contexts.exists(c, !c.?runAsNonRoot.orValue(variables.security.?runAsNonRoot.orValue(true)))",
        ),
        Variable::new(
            "lacksNonRoot",
            format!("{open} && c.?runAsUser.orValue(variables.security.?runAsUser.orValue(0)) > 0)"),
        ),
        Variable::new("lacksNonRootAndUser", format!("{open} && !('runAsUser' in c) && {no_user})")),
    ]
}

fn flags() -> Vec<Variable> {
    let exists = |name: &str, condition: &str| {
        Variable::new(name, format!("variables.contexts.exists(c, {condition})"))
    };
    let frozen = |name: &str, condition: &str| {
        Variable::new(name, format!("variables.frozenContexts.exists(c, {condition})"))
    };
    vec![
        exists("privileged", "c.?privileged.orValue(false)"),
        exists("escalating", "c.?allowPrivilegeEscalation.orValue(false)"),
        frozen("lacksEscalation", "!('allowPrivilegeEscalation' in c)"),
        exists("writableRoot", "!c.?readOnlyRootFilesystem.orValue(true)"),
        frozen("lacksReadOnlyRoot", "!('readOnlyRootFilesystem' in c)"),
        Variable::new(
            "hostPorts",
            "variables.containers.exists(c, c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) > 0))",
        ),
    ]
}

fn capabilities() -> Vec<Variable> {
    vec![
        Variable::new(
            "added",
            "variables.contexts.map(c, c.?capabilities.?add.hasValue(), c.capabilities.add)",
        ),
        Variable::new(
            "frozenCapabilities",
            "variables.frozenContexts.map(c, {'add': c.?capabilities.?add.orValue([]), 'drop': c.?capabilities.?drop.orValue([])})",
        ),
    ]
}

fn volumes() -> Vec<Variable> {
    let items = |file: &str| format!("m.?items.orValue([]) == [{{'key': '{file}', 'path': '{file}'}}]");
    let map = format!(
        "!has(s.configMap) || [s.configMap].all(m, m.?name.orValue('') == 'kube-root-ca.crt' && {} || \
         m.?name.orValue('') == 'openshift-service-ca.crt' && {})",
        items("ca.crt"),
        items("service-ca.crt")
    );
    let token = "!has(s.serviceAccountToken) || s.serviceAccountToken.?path.orValue('') == 'token' && \
        s.serviceAccountToken.?audience.orValue('') == ''";
    let fields = "!has(s.downwardAPI) || s.downwardAPI.?items.orValue([]).all(f, f.?path.orValue('') == 'namespace' && \
        has(f.fieldRef) && f.fieldRef.?apiVersion.orValue('') in ['v1', ''] && \
        f.fieldRef.?fieldPath.orValue('') == 'metadata.namespace')";
    let known = "(has(s.serviceAccountToken) || has(s.configMap) || has(s.downwardAPI))";
    let list = "variables.spec.?volumes.orValue([])";
    vec![
        Variable::new(
            "volumes",
            format!("{list}.map(v, v.size() == 1 ? ['emptyDir'] : v.filter(k, k != 'name'))"),
        ),
        Variable::new(
            "projectsTokensOnly",
            format!(
                "{list}.all(v, !has(v.projected) || v.projected.?sources.orValue([]).all(s,\n{known} && ({token}) && ({map}) && ({fields})))"
            ),
        ),
        Variable::new(
            "drivers",
            format!("{list}.map(v, has(v.flexVolume), v.flexVolume.?driver.orValue(''))"),
        ),
    ]
}

/// Blanks that may precede a number: all except newlines.
const BLANK: &str =
    r"[\t\x0b\x0c\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]*";

/// The blocks of IDs in the list of strings `list`, each as its first and its last ID; a malformed one is left out.
/// `start/size` or `start-end`, as `NamespaceRanges` of palisade-scc parses them.
fn blocks(list: &str) -> String {
    let number = format!("{BLANK}0*[0-9]{{1,10}}");
    let block = format!(r"^{number}(/{number}([^0-9][\s\S]*)?|-{number}([^0-9/][^/]*)?)$");
    let second = "b.substring(b.indexOf(b.contains('/') ? '/' : '-') + 1).find('[0-9]+')";
    format!(
        "{list}.filter(b, b.matches(r'{block}'))\
         .map(b, [int(b.find('[0-9]+')), int({second}), b.contains('/') ? 1 : 0])\
         .filter(n, n[0] <= 4294967295 && n[1] <= 4294967295)\
         .map(n, [n[0], n[2] == 1 ? (n[0] + n[1] + 4294967295) % 4294967296 : n[1]])"
    )
}

fn namespace() -> Vec<Variable> {
    let get = |key: &str| format!("namespaceObject.metadata.?annotations[?{}]", text(key));
    let uids = get(UID_RANGE);
    vec![
        Variable::new("hasRanges", format!("{uids}.hasValue() && {}.hasValue()", get(MCS))),
        Variable::new(
            "uids",
            format!("[{}].map(u, u.size() == 1 ? u[0] : [])[0]", blocks(&format!("[{uids}.orValue('')]"))),
        ),
        Variable::new("groupRanges", format!("{}.orValue({uids}.orValue(''))", get(SUPPLEMENTAL_GROUPS))),
        Variable::new("groupBlocks", "variables.groupRanges.split(',')"),
        Variable::new(
            "groups",
            // A single block that is that of the user IDs has been parsed already.
            format!(
                "!variables.groupRanges.contains(',') && variables.groupRanges == {uids}.orValue('') ? \
                 (variables.uids.size() == 2 ? [variables.uids] : []) :\n\
                 [{}].map(g, g.size() == variables.groupBlocks.size() ? g : [])[0]",
                blocks("variables.groupBlocks")
            ),
        ),
        Variable::new("level", format!("{}.orValue('')", get(MCS))),
    ]
}

/// The message on a namespace without `hasRanges`.
pub(crate) fn no_ranges() -> String {
    format!(
        "'namespace ' + request.namespace + ' cannot take pods: it has no annotation {UID_RANGE} or {MCS}; its ranges are not allocated yet'"
    )
}

fn selinux() -> Vec<Variable> {
    let same = same_level("o.?level.orValue('')", "variables.level");
    vec![
        Variable::new(
            "labels",
            "('seLinuxOptions' in variables.security ? [variables.security.seLinuxOptions] : []) + \
             variables.contexts.map(c, 'seLinuxOptions' in c, c.seLinuxOptions)",
        ),
        Variable::new("levelsAreTheNamespaces", format!("variables.labels.all(o, {same})")),
    ]
}

/// The profiles that CRI-O takes from annotations, bypassing the fields.
fn runtime_profiles() -> String {
    let named = RUNTIME_ANNOTATIONS.map(|prefix| format!("k.startsWith({})", text(prefix)));
    let value = "variables.annotations[k]";
    format!("variables.annotations.map(k, ({}) && {value} != '', {value})", named.join(" || "))
}

fn seccomp() -> Vec<Variable> {
    let prefix = text(CONTAINER_ANNOTATION);
    let key = format!("{prefix} + c.name");
    let own = "c.?securityContext.?seccompProfile.orValue({})";
    let named = "variables.podProfile";
    let is_written = format!(
        "{named} == '' || variables.podAnnotation == {named} && {} == variables.security.?seccompProfile.orValue({{}})",
        field_of(named)
    );
    let of_annotation = format!("variables.annotations[{key}]");
    let container = format!(
        "!variables.annotatesContainers || variables.frozen.all(c, !({key} in variables.annotations) || {} == {own})",
        field_of(&of_annotation)
    );
    vec![
        Variable::new(
            "podAnnotation",
            format!("variables.annotations[?{}].orValue('')", text(POD_ANNOTATION)),
        ),
        Variable::new(
            "namesProfile",
            "variables.podAnnotation != '' || 'seccompProfile' in variables.security",
        ),
        Variable::new(
            "podProfile",
            format!(
                "variables.podAnnotation != '' ? variables.podAnnotation : 'seccompProfile' in variables.security ? {} : ''",
                name_of("variables.security.seccompProfile")
            ),
        ),
        Variable::new(
            "annotatesContainers",
            format!("variables.annotations.exists(k, k.startsWith({prefix}))"),
        ),
        Variable::new("runtimeProfiles", runtime_profiles()),
        Variable::new(
            "profiles",
            format!(
                "(variables.namesProfile ? [{named} == '' && variables.security.?seccompProfile.?type.orValue('') == 'OCI' ? 'OCI' : {named}] : []) +\n\
                 variables.runtimeProfiles + (variables.annotatesContainers ?\n\
                 variables.containers.map(c, {key} in variables.annotations || c.?securityContext.?seccompProfile.hasValue(), \
                 {key} in variables.annotations ? {of_annotation} : {}) :\n\
                 variables.contexts.map(c, 'seccompProfile' in c, {}))",
                judged("c.securityContext.seccompProfile"),
                judged("c.seccompProfile"),
            ),
        ),
        Variable::new("profilesAreSettled", format!("({is_written}) && ({container})")),
    ]
}
