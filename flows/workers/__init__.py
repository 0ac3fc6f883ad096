"""Tasks on workers of their own (`MER_TASK_RUNNER=workers`, `mer worker`): the queue is the catalogue, the language JSON.

    flow process                         catalogue                     worker process
    task_runner.CatalogueTaskRunner  ->  queued_tasks  (parameters) -> served.serve
      watch.QueueWatch               <-                (outcome)    <-
      beats                          ->  task_processes             <- heartbeat (a process of its own)

Prefect sees every task as a task run of the flow's process. A worker that ends, however it ends, loses no task: it runs again.
"""
