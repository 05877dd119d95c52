"""Which address shows what."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from watch import views

urlpatterns = [
    path("", views.home, name="home"),
    path("site/<int:id>/", views.site, name="site"),
    path("post/<int:id>/", views.post, name="post"),
    path("unsubscribe/<str:token>", views.unsubscribe, name="unsubscribe"),
    path("admin/", admin.site.urls),
]
