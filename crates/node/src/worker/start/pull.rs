//! The image of a container: present, or pulled with the secrets of its pod.

use k8s_openapi::api::core::v1::{Pod, Secret};

use super::Held;
use crate::cri::CriError;
use crate::event::Level;
use crate::image::{self, ImageError, Present};
use crate::slot::{Slot, names};
use crate::volume;
use crate::worker::{Failure, Worker};

impl Worker {
    /// The image of a container, pulled if necessary.
    pub(super) async fn ensure_image(
        &self,
        pod: &Pod,
        slot: &Slot,
    ) -> Result<Result<Present, Held>, Failure> {
        let name = slot.container.image.clone().unwrap_or_default();
        let policy = slot.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let held = |error: &ImageError, reason| Held { reason, message: error.to_string(), event: "Failed" };
        let present = match image::present(&self.node.cri, &name).await {
            Ok(present) => present,
            Err(error @ CriError::Refused { .. }) => {
                return Ok(Err(held(&ImageError::Pull(name, error), "InvalidImageName")));
            }
            Err(error) => return Err(error.into()),
        };
        let is_own = policy != "Always" || image::is_imported(&self.node.layout, &name);
        if let Some(present) = present.filter(|_| is_own) {
            let said = format!("Container image {name:?} already present on machine");
            self.say(pod, Some(slot.name()), Level::Normal, "Pulled", &said).await;
            return Ok(Ok(present));
        }
        if policy == "Never" {
            return Ok(Err(held(&ImageError::Never(name), "ErrImageNeverPull")));
        }
        let secrets = self.pull_secrets(pod).await?;
        self.say(pod, Some(slot.name()), Level::Normal, "Pulling", &format!("Pulling image {name:?}")).await;
        match image::pull(&self.node.cri, &name, &secrets).await {
            Ok(present) => {
                let said = format!("Successfully pulled image {name:?}");
                self.say(pod, Some(slot.name()), Level::Normal, "Pulled", &said).await;
                Ok(Ok(present))
            }
            Err(error) => Ok(Err(held(&error, "ErrImagePull"))),
        }
    }

    async fn pull_secrets(&self, pod: &Pod) -> Result<Vec<Secret>, Failure> {
        let listed = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let mut secrets = Vec::new();
        for reference in listed.into_iter().flatten() {
            secrets.extend(volume::secret(&self.node.client, names(pod).namespace, &reference.name).await?);
        }
        Ok(secrets)
    }
}
