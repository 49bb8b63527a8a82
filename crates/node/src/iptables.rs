//! The rules of iptables in the table `nat`.

use std::process::Stdio;

/// A rule of iptables, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule(pub(crate) Vec<String>);

impl Rule {
    /// Parses a line of `iptables -S`. Comments are quoted, and contain quotes.
    pub(crate) fn parse(line: &str) -> Self {
        let (mut words, mut word, mut is_quoted, mut is_escaped) = (Vec::new(), String::new(), false, false);
        for letter in line.chars() {
            match letter {
                _ if is_escaped => {
                    word.push(letter);
                    is_escaped = false;
                }
                '\\' => is_escaped = true,
                '"' => is_quoted = !is_quoted,
                ' ' if !is_quoted => {
                    words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
                }
                _ => word.push(letter),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        Self(words)
    }

    pub(crate) fn chain(&self) -> Option<&str> {
        self.0.get(1).map(String::as_str).filter(|_| self.0.first().is_some_and(|word| word == "-A"))
    }

    /// Whether its chain belongs to the container alone, by the naming of CNI's plugins.
    pub(crate) fn is_in_own_chain(&self) -> bool {
        let is_hash = |rest: &str| rest.len() >= 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let rest = self.chain().and_then(|chain| chain.strip_prefix("CNI-"));
        rest.is_some_and(|rest| is_hash(rest.strip_prefix("DN-").unwrap_or(rest)))
    }

    /// The container for which CNI's plugins made it in a network: their comment has both.
    pub(crate) fn container(&self, network: &str) -> Option<&str> {
        self.chain()?;
        let at = self.0.iter().position(|word| word == "--comment")?;
        let (_, rest) = self.0.get(at + 1)?.split_once(&format!("name: \"{network}\" id: \""))?;
        rest.split_once('"').map(|(id, _)| id)
    }
}

/// The rules of the table `nat`.
pub(crate) async fn rules() -> Option<Vec<Rule>> {
    Some(iptables(&["-S"]).await?.lines().map(Rule::parse).collect())
}

/// Deletes a rule.
pub(crate) async fn delete(rule: &Rule) {
    let words: Vec<&str> = rule.0.iter().skip(1).map(String::as_str).collect();
    iptables(&[["-D"].as_slice(), &words].concat()).await;
}

/// Runs iptables on the table `nat`.
pub(crate) async fn iptables(words: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new("iptables");
    // Waits for a concurrent iptables.
    command.args(["-w", "5", "-t", "nat"]).args(words).stdin(Stdio::null());
    let output = command.output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_with_their_comments() {
        let lines = [
            (
                r#"-A POSTROUTING -s 10.0.0.2/32 -m comment --comment "name: \"net\" id: \"abc\"" -j CNI-6d94bf24c9e6174bf79ad57e"#,
                Some("abc"),
                false,
            ),
            (
                r#"-A CNI-6d94bf24c9e6174bf79ad57e -d 10.0.0.0/24 -m comment --comment "name: \"net\" id: \"abc\"" -j ACCEPT"#,
                Some("abc"),
                true,
            ),
            (
                r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"net\" id: \"abc\"" -j CNI-DN-6d94bf24c9e617"#,
                Some("abc"),
                false,
            ),
            (r#"-A POSTROUTING -m comment --comment "name: \"network\" id: \"abc\"" -j X"#, None, false),
            (
                r#"-A PREROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#,
                None,
                false,
            ),
            ("-N CNI-6d94bf24c9e6174bf79ad57e", None, false),
            ("", None, false),
        ];
        for (line, id, is_own) in lines {
            let rule = Rule::parse(line);
            assert_eq!((rule.container("net"), rule.is_in_own_chain()), (id, is_own), "{line}");
        }
        assert_eq!(Rule::parse(lines[0].0).0[7], r#"name: "net" id: "abc""#);
        assert_eq!(Rule::parse(lines[4].0).0[5], "CNI portfwd requiring masquerade");
    }
}
