"""Which hidden states of an encoder carry emotion: probes of every layer, their scores, and the block chosen."""
