"""Seals in the admin, read-only."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from transactions.seals.models import Seal, SealedHead


@admin.register(Seal)
class SealAdmin(ReadOnlyModelAdmin):
    list_display = ("number", "created_at", "leaves", "audit_seq", "key_id", "hash_hex")
    search_fields = ("=number",)
    ordering = ("-number",)
    fields = ("number", "created_at", "leaves", "root_hex", "audit_seq", "key_id", "signature_hex", "hash_hex")
    readonly_fields = fields

    @admin.display(description="root")
    def root_hex(self, seal: Seal) -> str:
        return bytes(seal.root).hex()

    @admin.display(description="signature")
    def signature_hex(self, seal: Seal) -> str:
        return bytes(seal.signature).hex()

    @admin.display(description="hash")
    def hash_hex(self, seal: Seal) -> str:
        return bytes(seal.hash).hex()


@admin.register(SealedHead)
class SealedHeadAdmin(ReadOnlyModelAdmin):
    list_display = ("wallet", "seal", "sequence", "head_hex")
    search_fields = ("=wallet__id", "=seal__number")
    list_select_related = ("wallet",)
    ordering = ("-id",)
    fields = ("wallet", "seal", "sequence", "head_hex")
    readonly_fields = fields

    @admin.display(description="head")
    def head_hex(self, sealed: SealedHead) -> str:
        return bytes(sealed.head).hex()
