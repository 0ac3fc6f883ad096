"""The service: answers for clips over HTTP, and the pages that show them. docs/service.md says how to add a router or a page.

build_app(Service(workspace()))     an ASGI application
"""
