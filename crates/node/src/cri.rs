//! The client of a container engine: its runtime and image services over the engine's socket.

pub(crate) mod message;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use message::{
    ContainerId, ContainerStatusRequest, ContainerStatusResponse, CreateContainerRequest, Empty,
    ExecSyncRequest, ExecSyncResponse, ImageSpec, ImageStatusRequest, ImageStatusResponse,
    ListContainersRequest, ListContainersResponse, ListImagesRequest, ListImagesResponse,
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxStatusResponse, PullImageRequest,
    PullImageResponse, RemoveImageRequest, RunPodSandboxRequest, SandboxId, StatusRequest, StatusResponse,
    StopContainerRequest, StreamUrl, VersionRequest, VersionResponse,
};

/// Timeout of the engine for all but a pull, a stop or a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timeout of a pull.
const PULL: Duration = Duration::from_secs(30 * 60);
/// A message may be as long as a command's output.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// An error of a request to the engine.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CriError {
    /// No process listens on the socket.
    #[error("the container engine at {0} cannot be reached: {1}")]
    Unreachable(PathBuf, String),
    /// The engine refused.
    #[error("{message}")]
    Refused {
        /// The gRPC status code.
        code: tonic::Code,
        /// Its message.
        message: String,
    },
}

impl CriError {
    /// Whether the requested object does not exist.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code: tonic::Code::NotFound, .. })
    }
}

impl From<tonic::Status> for CriError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused { code: status.code(), message: status.message().to_owned() }
    }
}

/// The result of a request to the engine.
pub(crate) type CriResult<T> = Result<T, CriError>;

/// A connection to an engine; a lost one is reconnected automatically.
#[derive(Clone, Debug)]
pub(crate) struct Cri {
    channel: Channel,
    socket: PathBuf,
}

impl Cri {
    /// A client of the engine on a socket. Connects at first use.
    pub(crate) fn new(socket: &Path) -> Self {
        let path = socket.to_owned();
        let endpoint = Endpoint::from_static("http://cri.invalid");
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        }));
        Self { channel, socket: socket.to_owned() }
    }

    async fn ask<Q, A>(&self, path: &'static str, question: Q, patience: Duration) -> CriResult<A>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client =
            tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let unreachable = |why: String| CriError::Unreachable(self.socket.clone(), why);
        client.ready().await.map_err(|error| unreachable(error.to_string()))?;
        let mut request = tonic::Request::new(question);
        request.set_timeout(patience);
        let asked = client.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
        match tokio::time::timeout(patience, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::Unavailable => {
                Err(unreachable(status.message().to_owned()))
            }
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(tonic::Status::deadline_exceeded("the engine did not answer in time").into()),
        }
    }
}

/// Declares a method of a service: its name, its path, its request and its response.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident($service:literal, $question:ty) -> $answer:ty, $patience:expr;)*) => {
        impl Cri {
            $(
                $(#[$doc])*
                ///
                pub(crate) async fn $name(&self, question: $question) -> CriResult<$answer> {
                    self.ask(concat!("/runtime.v1.", $service), question, $patience).await
                }
            )*
        }
    };
}

methods! {
    /// The engine's name and version.
    version("RuntimeService/Version", VersionRequest) -> VersionResponse, PATIENCE;
    /// The status of the engine.
    status("RuntimeService/Status", StatusRequest) -> StatusResponse, PATIENCE;
    /// Creates a sandbox.
    run_sandbox("RuntimeService/RunPodSandbox", RunPodSandboxRequest) -> SandboxId, PATIENCE * 2;
    /// Stops a sandbox, and releases its network.
    stop_sandbox("RuntimeService/StopPodSandbox", SandboxId) -> Empty, PATIENCE;
    /// Removes a sandbox with its containers.
    remove_sandbox("RuntimeService/RemovePodSandbox", SandboxId) -> Empty, PATIENCE;
    /// The status of a sandbox.
    sandbox_status("RuntimeService/PodSandboxStatus", SandboxId) -> PodSandboxStatusResponse, PATIENCE;
    /// Lists sandboxes.
    list_sandboxes("RuntimeService/ListPodSandbox", ListPodSandboxRequest) -> ListPodSandboxResponse, PATIENCE;
    /// Creates a container.
    create_container("RuntimeService/CreateContainer", CreateContainerRequest) -> ContainerId, PATIENCE;
    /// Starts a container.
    start_container("RuntimeService/StartContainer", ContainerId) -> Empty, PATIENCE;
    /// Removes a container.
    remove_container("RuntimeService/RemoveContainer", ContainerId) -> Empty, PATIENCE;
    /// Lists containers.
    list_containers("RuntimeService/ListContainers", ListContainersRequest) -> ListContainersResponse, PATIENCE;
    /// The status of a container.
    container_status("RuntimeService/ContainerStatus", ContainerStatusRequest) -> ContainerStatusResponse, PATIENCE;
    /// Makes the engine reopen a container's log, after it was moved.
    reopen_log("RuntimeService/ReopenContainerLog", ContainerId) -> Empty, PATIENCE;
    /// The URL for a command with streams.
    exec("RuntimeService/Exec", message::ExecRequest) -> StreamUrl, PATIENCE;
    /// The URL of a container's own streams.
    attach("RuntimeService/Attach", message::AttachRequest) -> StreamUrl, PATIENCE;
    /// The URL for connections to a pod's ports.
    port_forward("RuntimeService/PortForward", message::PortForwardRequest) -> StreamUrl, PATIENCE;
    /// Lists images.
    list_images("ImageService/ListImages", ListImagesRequest) -> ListImagesResponse, PATIENCE;
    /// Pulls an image.
    pull_image("ImageService/PullImage", PullImageRequest) -> PullImageResponse, PULL;
}

impl Cri {
    /// Ends a container: signals it, and kills it after `grace` seconds.
    pub(crate) async fn stop_container(&self, container_id: &str, grace: i64) -> CriResult<()> {
        let question = StopContainerRequest { container_id: container_id.to_owned(), timeout: grace };
        let patience = PATIENCE + Duration::from_secs(grace.clamp(0, 1 << 20).unsigned_abs());
        let stopped = self.ask::<_, Empty>("/runtime.v1.RuntimeService/StopContainer", question, patience);
        stopped.await.map(|_| ())
    }

    /// Runs a command in a container and waits for its end, at most `timeout`.
    pub(crate) async fn exec_sync(
        &self,
        container_id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> CriResult<ExecSyncResponse> {
        let seconds = i64::try_from(timeout.as_secs().max(1)).unwrap_or(i64::MAX);
        let question = ExecSyncRequest { container_id: container_id.to_owned(), cmd, timeout: seconds };
        self.ask("/runtime.v1.RuntimeService/ExecSync", question, timeout + Duration::from_secs(5)).await
    }

    /// An image, if the node has it.
    pub(crate) async fn image(&self, name: &str, verbose: bool) -> CriResult<ImageStatusResponse> {
        let image = Some(ImageSpec { image: name.to_owned() });
        let question = ImageStatusRequest { image, verbose };
        self.ask("/runtime.v1.ImageService/ImageStatus", question, PATIENCE).await
    }

    /// Removes an image.
    pub(crate) async fn remove_image(&self, name: &str) -> CriResult<()> {
        let question = RemoveImageRequest { image: Some(ImageSpec { image: name.to_owned() }) };
        let removed = self.ask::<_, Empty>("/runtime.v1.ImageService/RemoveImage", question, PATIENCE);
        removed.await.map(|_| ())
    }
}
