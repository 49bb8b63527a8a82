//! The words of errors.

use std::error::Error;

/// The text of an error and of its causes, each once, joined by `: `. A refusal of the API server is its message alone,
/// without the other fields of its `Status`.
#[must_use]
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let refusal = match cause.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
            _ => None,
        };
        next = if refusal.is_some() { None } else { cause.source() };
        let said = refusal.unwrap_or_else(|| cause.to_string());
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("Secret palisade-ca")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn a_refusal_is_its_message() {
        let status = serde_json::json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "secrets is forbidden"
        });
        let refusal = || kube::Error::Api(serde_json::from_value(status.clone()).unwrap());
        assert_eq!(error_text(&refusal()), "secrets is forbidden");
        assert_eq!(error_text(&Outer(refusal())), "Secret palisade-ca: secrets is forbidden");
    }
}
