"""Routes of compliance, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from compliance.views import AuditLogViewSet, KycSubmissionViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("kyc/submissions", KycSubmissionViewSet, basename="kyc-submission")
router.register("audit-logs", AuditLogViewSet, basename="audit-log")
urlpatterns = router.urls
