"""A client that Python's stock gRPC tools make from proto/: client.py PROTO_DIRECTORY ADDRESS

Registers an attendee, renders a link, reports a sale and explains it.
"""

import pathlib
import sys
import tempfile

import grpc
import grpc_tools
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc

SERVICES = {
    "tagalong.v1.AttendeeService",
    "tagalong.v1.CatalogueService",
    "tagalong.v1.ClickService",
    "tagalong.v1.EventService",
    "tagalong.v1.LinkRenderingService",
    "tagalong.v1.RedirectService",
    "tagalong.v1.SaleService",
    "grpc.health.v1.Health",
}
DEADLINE = 30


def generate(proto, out):
    files = sorted(str(file) for file in pathlib.Path(proto).rglob("*.proto"))
    assert files, f"no .proto files in {proto}"
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}"]
    arguments += [f"--python_out={out}", f"--grpc_python_out={out}", *files]
    assert protoc.main(arguments) == 0, "protoc failed"
    sys.path.insert(0, out)


def main(proto, address):
    with tempfile.TemporaryDirectory() as out, grpc.insecure_channel(address) as channel:
        generate(proto, out)
        from tagalong.v1 import (
            attendee_pb2,
            attendee_service_pb2,
            attendee_service_pb2_grpc,
            decision_pb2,
            link_rendering_service_pb2,
            link_rendering_service_pb2_grpc,
            sale_pb2,
            sale_service_pb2,
            sale_service_pb2_grpc,
        )

        reflection = ProtoReflectionDescriptorDatabase(channel)
        listed = set(reflection.get_services())
        assert SERVICES <= listed, f"reflection lists only {sorted(listed)}"
        described = DescriptorPool(reflection).FindServiceByName("tagalong.v1.SaleService")
        assert "ExplainSale" in described.methods_by_name

        attendees = attendee_service_pb2_grpc.AttendeeServiceStub(channel)
        key = attendee_pb2.RegistrationKey(source="python", external_id="jane")
        registered = attendees.RegisterAttendee(
            attendee_service_pb2.RegisterAttendeeRequest(
                webinar_id="launch",
                email="jane@python.example",
                affiliate_id="max",
                key=key,
            ),
            timeout=DEADLINE,
        )
        assert not registered.repeated

        rendering = link_rendering_service_pb2_grpc.LinkRenderingServiceStub(channel)
        link = rendering.RenderLink(
            link_rendering_service_pb2.RenderLinkRequest(
                attendee=attendee_pb2.AttendeeReference(registration=key), product_id="course"
            ),
            timeout=DEADLINE,
        )
        assert link.affiliate_id == "max", link
        assert f"/course/p/max/buy/{link.token}" in link.url, link

        sales = sale_service_pb2_grpc.SaleServiceStub(channel)
        price = sale_pb2.Money(minor_units=49700, currency="EUR")
        order = sale_service_pb2.ReportOrderRequest(
            request_id="python-order",
            order=sale_pb2.Order(
                source="python", external_id="order-1", programme_id="copecart"
            ),
            buyer=sale_pb2.BuyerReferences(reference=link.token),
            items=[
                sale_service_pb2.ItemReport(
                    item=sale_pb2.Item(
                        external_id="1",
                        product_id="course",
                        price=price,
                        platform_affiliate_id="max",
                    ),
                    payments=[sale_pb2.Payment(external_id="tr-1", amount=price)],
                )
            ],
        )
        reported = sales.ReportOrder(order, timeout=DEADLINE)
        again = sales.ReportOrder(order, timeout=DEADLINE)
        assert again.sales == reported.sales, "a repeated report gets the same answer"

        explained = sales.ExplainSale(
            sale_service_pb2.ExplainSaleRequest(item_id=reported.sales[0].item.id),
            timeout=DEADLINE,
        )
        decision = explained.sale.decision
        assert decision.affiliate_id == "max", decision
        assert decision.credit == decision_pb2.CREDIT_AGREED, decision
        assert decision.carried_by == decision_pb2.CARRIED_BY_TOKEN, decision
        assert decision.touches[0].verdict == decision_pb2.VERDICT_WON, decision
        assert decision.reason, decision

        try:
            order.items[0].item.price.currency = "euro"
            order.request_id = ""
            sales.ReportOrder(order, timeout=DEADLINE)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
            assert "items[0].item.price.currency" in error.details(), error
        else:
            raise AssertionError("an unknown currency was accepted")
        print(f"{decision.affiliate_id} is credited, carried by token: {decision.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
