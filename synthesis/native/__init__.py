"""Chatterbox, implemented for serving: lean to start, requests decoded together, the same audio as upstream's package.

`engine` joins the stages: text tokens, T3 (`t3`, `decoder`: text tokens to speech tokens, in slots), S3Gen and vocoder
(speech tokens to a waveform). `scheduler` and `request` decide who decodes when and import no torch. Upstream's own
package stays behind the same interface (`synthesis.chatterbox`) as the oracle. Importing this package imports no torch.
"""
