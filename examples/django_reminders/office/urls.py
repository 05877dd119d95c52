from django.contrib import admin
from django.urls import path
from reminders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("reminders/", views.remind),
    path("reminders/<int:pk>/", views.show),
]
