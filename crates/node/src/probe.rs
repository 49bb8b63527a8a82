//! Probes and hooks of running containers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::cri::Cri;
use crate::tls;

/// The state of a container's probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) is_started: bool,
    pub(crate) is_ready: bool,
    /// The reason to end the container, if there is one.
    pub(crate) kill: Option<String>,
    /// Failures that have not been reported yet.
    pub(crate) said: Vec<String>,
}

/// The container that is probed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) container: Container,
}

fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).map_err(|_| format!("{number} is not a port")),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let found = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            let found = found.or_else(|| name.parse().ok()).and_then(|number| u16::try_from(number).ok());
            found.ok_or_else(|| format!("there is no port {name:?}"))
        }
    }
}

/// A kind of probe action.
enum Question<'q> {
    Exec(Vec<String>),
    Http(&'q HTTPGetAction),
    Tcp(Option<&'q str>, &'q IntOrString),
    Grpc(i32, &'q str),
    None,
}

impl Target {
    /// Runs it once.
    async fn ask(&self, cri: &Cri, question: Question<'_>, timeout: Duration) -> Result<(), String> {
        let asked = async {
            match question {
                Question::Exec(command) => self.exec(cri, command, timeout).await,
                Question::Http(get) => self.http(get).await,
                Question::Tcp(host, at) => {
                    let stream = self.connect(host, port(&self.container, at)?).await?;
                    drop(stream);
                    Ok(())
                }
                Question::Grpc(at, service) => self.grpc(at, service).await,
                Question::None => Ok(()),
            }
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("timed out after {}s", timeout.as_secs())),
        }
    }

    async fn exec(&self, cri: &Cri, command: Vec<String>, timeout: Duration) -> Result<(), String> {
        let answer = cri.exec_sync(&self.id, command, timeout).await.map_err(|error| error.to_string())?;
        match answer.exit_code {
            0 => Ok(()),
            code => {
                let said = [answer.stdout, answer.stderr].concat();
                let said: String = String::from_utf8_lossy(&said).trim().chars().take(500).collect();
                Err(if said.is_empty() { format!("exit code {code}") } else { said })
            }
        }
    }

    async fn connect(&self, host: Option<&str>, port: u16) -> Result<TcpStream, String> {
        let host = match host.filter(|host| !host.is_empty()) {
            Some(host) => host.to_owned(),
            None => self.ip.ok_or("the pod has no address")?.to_string(),
        };
        TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())
    }

    async fn http(&self, get: &HTTPGetAction) -> Result<(), String> {
        let port = port(&self.container, &get.port)?;
        let host = get.host.as_deref();
        let stream = self.connect(host, port).await?;
        let name = match host.filter(|host| !host.is_empty()) {
            Some(host) => host.to_owned(),
            None => self.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        };
        let mut request =
            http::Request::get(get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/"))
                .header("host", format!("{name}:{port}"))
                .header("user-agent", "palisade-probe")
                .header("accept", "*/*");
        for header in get.http_headers.iter().flatten() {
            if header.name.eq_ignore_ascii_case("host")
                && let Some(headers) = request.headers_mut()
            {
                headers.remove("host");
            }
            request = request.header(&header.name, &header.value);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
        let status = if get.scheme.as_deref() == Some("HTTPS") {
            let stream = tls::without_proof(&name, stream).await.map_err(|error| error.to_string())?;
            fetch(TokioIo::new(stream), request).await
        } else {
            fetch(TokioIo::new(stream), request).await
        };
        match status.map_err(|error| error.to_string())? {
            200..400 => Ok(()),
            status => Err(format!("HTTP probe failed with statuscode: {status}")),
        }
    }

    async fn grpc(&self, port: i32, service: &str) -> Result<(), String> {
        #[derive(Clone, PartialEq, prost::Message)]
        struct HealthCheckRequest {
            #[prost(string, tag = "1")]
            service: String,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        struct HealthCheckResponse {
            #[prost(int32, tag = "1")]
            status: i32,
        }
        const SERVING: i32 = 1;
        let ip = self.ip.ok_or("the pod has no address")?;
        let host = std::net::SocketAddr::new(ip, u16::try_from(port).unwrap_or_default());
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{host}"));
        let channel = endpoint.map_err(|error| error.to_string())?.connect().await;
        let mut client = tonic::client::Grpc::new(channel.map_err(|error| error.to_string())?);
        client.ready().await.map_err(|error| error.to_string())?;
        let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let question = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let answer =
            client.unary(question, path, codec).await.map_err(|status| status.message().to_owned())?;
        match answer.into_inner().status {
            SERVING => Ok(()),
            status => Err(format!("service unhealthy (responded with {status})")),
        }
    }
}

async fn fetch<S>(stream: S, request: http::Request<Empty<bytes::Bytes>>) -> Result<u16, hyper::Error>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let answer = match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            // A little of the body is read, so that the server can finish.
            let _ = Limited::new(answer.into_body(), 10 * 1024).collect().await;
            Ok(status)
        }
        Err(error) => Err(error),
    };
    driver.abort();
    answer
}

fn of_probe(probe: &Probe) -> Question<'_> {
    if let Some(exec) = &probe.exec {
        Question::Exec(exec.command.clone().unwrap_or_default())
    } else if let Some(get) = &probe.http_get {
        Question::Http(get)
    } else if let Some(tcp) = &probe.tcp_socket {
        Question::Tcp(tcp.host.as_deref(), &tcp.port)
    } else if let Some(grpc) = &probe.grpc {
        Question::Grpc(grpc.port, grpc.service.as_deref().unwrap_or_default())
    } else {
        Question::None
    }
}

/// Runs a hook, at most `timeout`.
pub(crate) async fn hook(
    target: &Target,
    cri: &Cri,
    handler: &LifecycleHandler,
    timeout: Duration,
) -> Result<(), String> {
    if let Some(sleep) = &handler.sleep {
        let seconds = Duration::from_secs(sleep.seconds.max(0).unsigned_abs());
        tokio::time::sleep(seconds.min(timeout)).await;
        return Ok(());
    }
    let question = if let Some(exec) = &handler.exec {
        Question::Exec(exec.command.clone().unwrap_or_default())
    } else if let Some(get) = &handler.http_get {
        Question::Http(get)
    } else {
        Question::None
    };
    target.ask(cri, question, timeout).await
}

/// The type of a probe: liveness, readiness or startup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Startup,
    Liveness,
    Readiness,
}

/// The probes of a container, run until this is dropped.
#[derive(Debug)]
pub(crate) struct Probes {
    findings: Arc<Mutex<Findings>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Probes {
    /// Starts the probes; `wake` is notified of every change.
    pub(crate) fn start(cri: &Cri, target: &Target, wake: &Arc<Notify>) -> Self {
        let container = &target.container;
        let findings = Findings {
            is_started: container.startup_probe.is_none(),
            is_ready: container.readiness_probe.is_none(),
            ..Default::default()
        };
        let findings = Arc::new(Mutex::new(findings));
        let all = [
            (Aim::Startup, &container.startup_probe),
            (Aim::Liveness, &container.liveness_probe),
            (Aim::Readiness, &container.readiness_probe),
        ];
        let tasks = all.into_iter().filter_map(|(aim, probe)| {
            let asker = Asker {
                aim,
                probe: probe.clone()?,
                cri: cri.clone(),
                target: target.clone(),
                findings: Arc::clone(&findings),
                wake: Arc::clone(wake),
            };
            Some(tokio::spawn(asker.run()))
        });
        Self { tasks: tasks.collect(), findings }
    }

    pub(crate) fn findings(&self) -> Findings {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the failures that have not been reported.
    pub(crate) fn take_said(&self) -> Vec<String> {
        std::mem::take(&mut self.findings.lock().unwrap_or_else(PoisonError::into_inner).said)
    }
}

struct Asker {
    aim: Aim,
    probe: Probe,
    cri: Cri,
    target: Target,
    findings: Arc<Mutex<Findings>>,
    wake: Arc<Notify>,
}

impl Asker {
    async fn run(self) {
        let seconds = |value: Option<i32>, or: i32| {
            Duration::from_secs(value.unwrap_or(or).max(0).unsigned_abs().into())
        };
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let timeout = seconds(self.probe.timeout_seconds, 1).max(Duration::from_secs(1));
        let needed = |value: Option<i32>, or: i32| value.unwrap_or(or).max(1);
        let (good, bad) = (needed(self.probe.success_threshold, 1), needed(self.probe.failure_threshold, 3));
        tokio::time::sleep(seconds(self.probe.initial_delay_seconds, 0)).await;
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut successes, mut failures) = (0, 0);
        loop {
            ticks.tick().await;
            // The other probes wait for the startup probe.
            if self.aim != Aim::Startup && !self.with(|found| found.is_started) {
                ticks.reset_after(Duration::from_millis(200));
                continue;
            }
            match self.target.ask(&self.cri, of_probe(&self.probe), timeout).await {
                Ok(()) => (successes, failures) = (successes + 1, 0),
                Err(why) => {
                    (successes, failures) = (0, failures + 1);
                    let said = format!("{:?} probe failed: {why}", self.aim);
                    self.with(|found| found.said.push(said));
                    self.wake.notify_one();
                }
            }
            if successes >= good && self.passed() {
                return;
            }
            if failures >= bad {
                self.failed();
            }
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Findings) -> T) -> T {
        change(&mut self.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records a success; returns whether the probe is finished.
    fn passed(&self) -> bool {
        let changed = self.with(|found| match self.aim {
            Aim::Startup => !std::mem::replace(&mut found.is_started, true),
            Aim::Readiness => !std::mem::replace(&mut found.is_ready, true),
            Aim::Liveness => false,
        });
        if changed {
            self.wake.notify_one();
        }
        self.aim == Aim::Startup
    }

    fn failed(&self) {
        self.with(|found| match self.aim {
            Aim::Readiness => found.is_ready = false,
            aim => found.kill = Some(format!("failed {} probe", format!("{aim:?}").to_lowercase())),
        });
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use hyper_util::rt::TokioExecutor;

    /// A server of gRPC's health protocol that answers every request with a gRPC status and a health state.
    async fn health(status: &'static str, state: u8) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service =
                hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let asked = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(asked.as_ref(), b"\0\0\0\0\x05\x0a\x03web");
                    let message = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, state])).into_data_stream();
                    let trailers = http::HeaderMap::from_iter([(
                        http::HeaderName::from_static("grpc-status"),
                        http::HeaderValue::from_static(status),
                    )]);
                    let message = futures::StreamExt::map(message, |part| part.map(Frame::data));
                    let end = futures::stream::iter([Ok(Frame::trailers(trailers))]);
                    let body = StreamBody::new(futures::StreamExt::chain(message, end));
                    http::Response::builder().header("content-type", "application/grpc").body(body)
                });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        port
    }

    #[tokio::test]
    async fn grpc_is_asked_for_the_health_of_a_service() {
        let ip = Some(std::net::Ipv4Addr::LOCALHOST.into());
        let target = Target { id: String::new(), ip, container: Container::default() };
        for (status, state, expected) in [
            ("0", 1, Ok(())),
            ("0", 2, Err("service unhealthy (responded with 2)")),
            ("0", 0, Err("service unhealthy (responded with 0)")),
        ] {
            let got = target.grpc(health(status, state).await.into(), "web").await;
            assert_eq!(got, expected.map_err(str::to_owned), "{status} {state}");
        }
        assert!(target.grpc(health("12", 1).await.into(), "web").await.is_err(), "a server without health");
        assert!(target.grpc(1, "web").await.is_err(), "no process listens");
    }
}
