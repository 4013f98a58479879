"""Voices whose truth is a bucket that many workers write, with this machine as the cache.

`library` joins the parts. Truth: `truth`, `names`, `keys`, `new_voice`. Reading: `reader`, `listing`, `voice_cache`,
`file_cache`, `conditionals`, `prefetch`. Snapshots for readers that know only them: `snapshots`, `snapshot_reader`,
`fold` with `fold_state` and `fold_thread`. Commands: `push`, `verify`, `sweep`. Underneath: `background`, `parallel`.
"""
