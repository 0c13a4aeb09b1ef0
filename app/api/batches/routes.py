"""Routes: the paths of files and batches."""

from app.api.batches import batches, files
from app.api.batches.endpoint import Act, Disabled, Endpoint
from app.api.http.service import Service
from app.api.resources import Resource


def batch_routes(service: Service) -> dict[str, Resource]:
    """Return every path with its methods, which tell how to enable them if they are not."""

    def answer(act: Act) -> Endpoint | Disabled:
        return Disabled() if service.desk is None else Endpoint(service, act)

    content = Disabled() if service.desk is None else files.Content(service)
    uploading = files.Uploading(service.model.settings)
    return {
        "/v1/files": Resource(protected={"GET": answer(files.listing), "POST": answer(uploading)}),
        "/v1/files/{id}": Resource(
            protected={"GET": answer(files.described), "DELETE": answer(files.removed)}
        ),
        "/v1/files/{id}/content": Resource(protected={"GET": content}),
        "/v1/batches": Resource(
            protected={"GET": answer(batches.listing), "POST": answer(batches.made)}
        ),
        "/v1/batches/{id}": Resource(protected={"GET": answer(batches.described)}),
        "/v1/batches/{id}/cancel": Resource(protected={"POST": answer(batches.cancelled)}),
    }
