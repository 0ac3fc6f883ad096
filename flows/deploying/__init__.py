"""Deployments: what each is, the form it has in Prefect's page, how it is registered, and when it runs next."""
