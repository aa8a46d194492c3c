//! OTLP over gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::kept::{Export, Kept, Refusal};
use super::{Collector, Setup};

/// Why it left something out.
pub(super) const REASON: &str = "too old";

pub(super) async fn serve(
    setup: &Setup<'_>,
    kept: Arc<Kept>,
    stop: CancellationToken,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(setup.addresses[0])
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut server = Server::builder();
    if let Some(tls) = setup.tls {
        let identity = Identity::from_pem(&tls.shown.certificate, &tls.shown.key);
        let mut config = ServerTlsConfig::new().identity(identity);
        if let Some(clients) = tls.clients {
            config = config.client_ca_root(Certificate::from_pem(clients.certificate()));
        }
        server = server
            .tls_config(config)
            .expect("a certificate and its key");
    }
    let gzip = CompressionEncoding::Gzip;
    let service = Service(kept);
    let traces = TraceServiceServer::new(service.clone()).accept_compressed(gzip);
    let mut router = server.add_service(traces);
    if setup.everything {
        let metrics = MetricsServiceServer::new(service.clone()).accept_compressed(gzip);
        let logs = LogsServiceServer::new(service).accept_compressed(gzip);
        router = router.add_service(metrics).add_service(logs);
    }
    let task = tokio::spawn(async move {
        router
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.cancelled_owned())
            .await
            .expect("it serves");
    });
    (address, task)
}

#[derive(Clone)]
struct Service(Arc<Kept>);

impl Service {
    async fn take<T>(
        &self,
        request: Request<T>,
        export: impl FnOnce(T) -> Export,
    ) -> Result<Option<i64>, Status> {
        let (metadata, _, message) = request.into_parts();
        let taken = self
            .0
            .take(
                "grpc",
                metadata.into_headers(),
                export(message),
                serde_json::Value::Null,
            )
            .await;
        match taken {
            Ok(left_out) => Ok(Some(left_out).filter(|count| *count > 0)),
            Err(Refusal::Failing) => Err(Status::internal("not now")),
            Err(Refusal::Refusing) => Err(Status::invalid_argument(Collector::REFUSAL)),
            Err(Refusal::Missing) => Err(Status::unimplemented("no such service")),
            Err(Refusal::Busy) => Err(Status::unavailable("busy")),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let left_out = self.take(request, Export::Traces).await?;
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: left_out.map(|rejected_spans| ExportTracePartialSuccess {
                rejected_spans,
                error_message: REASON.into(),
            }),
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let left_out = self.take(request, Export::Metrics).await?;
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success: left_out.map(|rejected_data_points| ExportMetricsPartialSuccess {
                rejected_data_points,
                error_message: REASON.into(),
            }),
        }))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let left_out = self.take(request, Export::Logs).await?;
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: left_out.map(|rejected_log_records| ExportLogsPartialSuccess {
                rejected_log_records,
                error_message: REASON.into(),
            }),
        }))
    }
}
