"""/maintenance on, off: take nothing new in."""

from bot.admin.orders import Order
from foodcritic import maintenance


async def on_maintenance(order: Order) -> None:
    """/maintenance on, off; without either, how it stands."""
    db = order.desk.db
    if order.words in (["on"], ["off"]):
        await maintenance.switch(db, on=order.words == ["on"], actor=order.actor)
    elif order.words:
        await order.answer("admin-maintenance-usage")
        return
    on = await maintenance.is_on(db)
    await order.answer("admin-maintenance-on" if on else "admin-maintenance-off")
