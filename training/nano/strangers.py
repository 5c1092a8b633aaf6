"""Names of dishes outside our table, so that nano learns to repeat a name it does not know."""

from __future__ import annotations

import random
from functools import cache
from typing import Final

from foodcritic import dishes

_ZH: Final = """
肠粉 小笼包 宫保鸡丁 麻婆豆腐 红烧肉 东坡肉 回锅肉 鱼香肉丝 水煮鱼 酸菜鱼
夫妻肺片 担担面 热干面 臭豆腐 螺蛳粉 过桥米线 兰州牛肉面 羊肉泡馍 肉夹馍 煎饼果子
豆汁 驴打滚 佛跳墙 荔枝肉 白切鸡 烧鹅 叉烧 云吞面 煲仔饭 双皮奶 蛋挞 凤爪
糯米鸡 狮子头 扬州炒饭 松鼠鳜鱼 西湖醋鱼 龙井虾仁 叫花鸡 剁椒鱼头 口味虾
毛氏红烧肉 徽州毛豆腐 臭鳜鱼 九转大肠 糖醋鲤鱼 德州扒鸡 锅包肉 地三鲜 小鸡炖蘑菇
大盘鸡 羊肉串 手抓饭 馕 青稞饼 酥油茶 竹筒饭 文昌鸡 清补凉 椰子鸡 火锅 麻辣烫
冒菜 钵钵鸡 凉皮 胡辣汤 烩面 刀削面 油泼面 汤圆 粽子 月饼 青团 年糕 萝卜糕
葱油饼 韭菜盒子 包子 馒头 花卷 油条 豆浆 烤冷面 铁锅炖 酱骨架 番茄炒蛋 青椒肉丝
地瓜丸 车轮饼 卤肉饭 蚵仔煎 三杯鸡 大肠包小肠 鼎边糊 沙茶面
"""
_EN: Final = """
Rice noodle roll | Soup dumplings | Mapo tofu | Kung pao chicken | Shakshuka | Borscht | Pierogi
| Goulash | Schnitzel | Bratwurst | Currywurst | Fondue | Raclette | Ratatouille | Cassoulet |
Bouillabaisse | Quiche | Galette | Gazpacho | Tortilla de patatas | Patatas bravas |
Pastel de nata | Bacalhau | Moussaka | Souvlaki | Dolma | Kofta | Shawarma | Tagine | Couscous |
Jollof rice | Injera | Bobotie | Biltong | Biryani | Butter chicken | Palak paneer | Masala dosa
| Idli | Vada pav | Momo | Thukpa | Nasi goreng | Rendang | Satay | Laksa |
Hainanese chicken rice | Chili crab | Adobo | Sinigang | Halo-halo | Banh mi | Bun cha |
Green curry | Som tam | Tom yum | Larb | Amok | Tonkatsu | Okonomiyaki | Udon | Soba | Onigiri |
Mochi | Tempura | Kimchi | Tteokbokki | Japchae | Bulgogi | Feijoada | Moqueca | Empanadas |
Arepas | Lomo saltado | Asado | Pupusas | Enchiladas | Tamales | Mole poblano | Elote | Gumbo |
Jambalaya | Cornbread | Meatloaf | Chili con carne | Cobb salad | Key lime pie | Pecan pie |
Brownies | Pavlova | Lamington | Meat pie | Scones | Shepherd's pie | Haggis | Cornish pasty |
Yorkshire pudding | Smorrebrod | Gravlax | Meatballs | Karelian pasty | Khachapuri
"""
_SYLLABLES: Final = (
    "ba be chi do fa go ha jo ka la lu ma mi no pa qui ra sa ta ti ur va wa xi yo za"
)


def stranger(rng: random.Random) -> str:
    """A dish's name, real or made up, in Chinese or English."""
    while dishes.find(name := _name(rng)) is not None:
        pass
    return name


def _name(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.3:
        return rng.choice(_ZH.split())
    if roll < 0.6:
        return rng.choice([name.strip() for name in _EN.split("|")])
    if roll < 0.85:
        return "".join(rng.choices(_characters(), k=rng.randint(2, 5)))
    syllables = _SYLLABLES.split()
    words = ("".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 2)))
    return " ".join(words).capitalize()


@cache
def _characters() -> str:
    """The 3,755 common characters of GB 2312's first level."""
    codes = ((high, low) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
    return "".join(
        bytes(code).decode("gb2312") for code in codes if not (code[0] == 0xD7 and code[1] > 0xF9)
    )
