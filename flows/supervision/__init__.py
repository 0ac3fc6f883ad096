"""What watches over runs: a dead one is marked as crashed, a local server or worker that died is started again."""
