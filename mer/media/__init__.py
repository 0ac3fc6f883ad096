"""Reading clips: probe, audio, frames, faces. Every failure is a `MediaError` with a quarantine reason;
nothing hangs.
"""
